/** Checkpoints in parallel to training: their contents, how they wait for each other, what is reported about them. */
import t from 'tap';
import { createOptimizer, ParameterStore } from '../../../lib/engine/index.js';
import { ApolloError } from '../../../lib/errors.js';
import { CheckpointWriter, type StoreView } from '../../../lib/train/index.js';
import { openTinyDevice } from '../tiny.js';

const device = await openTinyDevice();
t.teardown(() => device.close());

async function filled(value: number) {
  const store = new ParameterStore(device);
  createOptimizer('adamw', store, {});
  for (const name of ['a', 'b']) {
    store.declare({ name, shape: [3], workingCopy: false, decay: false });
    await store.write(name, new Float32Array(3).fill(value));
    await store.writeMoments(name, {
      slots: ['m', 'v'].map((slot) => ({ name: slot, values: new Float32Array(3).fill(10 * value) })),
      count: value,
    });
  }
  return store;
}

/** A job whose writing ends when `finish` is called. */
function job(step: number) {
  let finish: (error?: unknown) => void = () => {};
  const ended = new Promise<void>((resolve, reject) => {
    finish = (error) => (error === undefined ? resolve() : reject(error));
  });
  const log: string[] = [];
  return {
    log,
    finish,
    step,
    position: `${step}/0`,
    write: async (view: StoreView) => {
      log.push('begun');
      await ended;
      for (const name of view.names()) {
        const { slots, count } = await view.moments(name);
        log.push(`${name} ${(await view.read(name)).join()} ${slots[1]!.values[0]} ${count} ${view.count(name)}`);
      }
      return `step-${step}`;
    },
  };
}

t.test('a checkpoint holds what the store held when it was started', async (t) => {
  const store = await filled(1);
  const writer = new CheckpointWriter(store);
  const first = job(1);
  await writer.begin(first);
  for (const name of ['a', 'b']) {
    await store.write(name, new Float32Array(3).fill(7));
    store.setCount(name, 7);
  }
  t.same(writer.take(), [], 'it is under way');
  t.notOk(writer.isSaved('1/0'));
  first.finish();
  await writer.settled();
  t.same(first.log, ['begun', 'a 1,1,1 10 1 1', 'b 1,1,1 10 1 1']);
  t.match(writer.take(), [{ step: 1, path: 'step-1' }]);
  t.same(writer.take(), [], 'each is reported once');
  t.ok(writer.isSaved('1/0'));
  t.equal(writer.lastSaved, 'step-1');
});

t.test('a second one waits for the first, and so does the last', async (t) => {
  const store = await filled(2);
  const writer = new CheckpointWriter(store);
  const [first, second, last] = [job(1), job(2), job(3)];
  await writer.begin(first);
  const begun = writer.begin(second);
  await new Promise(setImmediate);
  t.same(second.log, []);
  first.finish();
  await begun;
  t.same(second.log, ['begun']);
  const completed = writer.complete(last);
  await new Promise(setImmediate);
  t.same(last.log, []);
  second.finish();
  last.finish();
  await completed;
  t.same(
    writer.take().map(({ step }) => step),
    [1, 2, 3],
  );
  await writer.complete(last);
  t.same(writer.take(), [], 'what is saved is not saved again');
});

t.test('where a copy does not fit, training waits for the disk', async (t) => {
  const store = await filled(3);
  const writer = new CheckpointWriter(store, () => 3 * 4 * 6); // half of it is less than a copy of 6 x 3 values
  const slow = job(1);
  let waited = true;
  const begun = writer.begin(slow).then(() => {
    waited = false;
  });
  await new Promise(setImmediate);
  t.ok(waited);
  slow.finish();
  await begun;
  t.match(writer.take(), [{ path: 'step-1' }]);
});

t.test('one that fails is reported with its error, and the next is written', async (t) => {
  const store = await filled(4);
  const writer = new CheckpointWriter(store);
  const [bad, good] = [job(1), job(2)];
  await writer.begin(bad);
  bad.finish(new ApolloError('FILE_SYSTEM', 'no space'));
  good.finish();
  await writer.begin(good);
  await writer.settled();
  t.match(writer.take(), [
    { step: 1, error: { code: 'FILE_SYSTEM' } },
    { step: 2, path: 'step-2' },
  ]);
  t.equal(writer.lastSaved, 'step-2');
  t.notOk(writer.isSaved('1/0'));
});
