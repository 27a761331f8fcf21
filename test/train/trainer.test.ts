/** The one path of a step: the order in which the device is given its work, steps that fail, and losses that are not finite. */
import t from 'tap';
import { nativeOf } from '../../lib/engine/device.js';
import {
  accumulateGradients,
  createOptimizer,
  Device,
  Graph,
  ParameterStore,
  RunGroup,
} from '../../lib/engine/index.js';
import { add, gatherRows, mean, mul, sum } from '../../lib/engine/ops/index.js';
import { type MicroBatch, StepStream, Trainer, type TrainerStep } from '../../lib/train/index.js';
import { openTinyDevice } from './tiny.js';

const device = await openTinyDevice();
t.teardown(() => device.close());

/** A device that records what its programs are given and when they have done it, under the names that `named` gives them. */
function recording() {
  const log: string[] = [];
  const native = nativeOf(device);
  let name = 'other';
  const recorded = new Device({
    info: () => native.info(),
    createBuffer: (...args) => native.createBuffer(...args),
    releaseArena: () => native.releaseArena(),
    close: () => native.close(),
    compile: async (...args) => {
      const program = await native.compile(...args);
      const isUpdate = args[0].instructions.some(({ op }) => op === 'adamw');
      const own = isUpdate ? 'update' : name;
      return {
        arenaBytes: program.arenaBytes,
        unsharedBytes: program.unsharedBytes,
        dispose: () => program.dispose(),
        run: async (inputs, options) => {
          log.push(`+${own}`);
          const result = await program.run(inputs, options);
          log.push(`-${own}`);
          return result;
        },
      };
    },
  });
  return {
    device: recorded,
    log,
    named: async <Value>(next: string, work: () => Promise<Value>) => {
      name = next;
      return work().finally(() => {
        name = 'other';
      });
    },
  };
}

/** y = mean(w[row] * x) with a row that may be none of w's. */
async function setting(on: Device) {
  const store = new ParameterStore(on);
  store.declare({ name: 'w', shape: [4, 8], workingCopy: false, decay: false });
  await store.write('w', new Float32Array(32).fill(1));
  const graph = new Graph();
  const rows = gatherRows(graph.parameter('w', [4, 8]), graph.input('rows', [2], 'i32'));
  const loss = add(mean(mul(rows, graph.input('x', [2, 8]))), graph.input('extra', [1]));
  const names = accumulateGradients(sum(loss), { guard: true });
  graph.output('loss', sum(loss));
  const trainer = new Trainer(store, createOptimizer('adamw', store, { weightDecay: 0 }));
  return { store, graph, names, trainer };
}

const micro = (program: MicroBatch['program'], share = 1, rows = [0, 1], extra = 0): MicroBatch => ({
  program,
  share,
  inputs: { rows: Int32Array.from(rows), x: new Float32Array(16).fill(2), extra: [extra] },
});

async function* each(batches: readonly MicroBatch[]) {
  yield* batches;
}

t.test(
  'the update is queued behind its micro-batches, and the next step behind that, before any has run',
  async (t) => {
    const { device: watched, log, named } = recording();
    const { store, graph, names, trainer } = await setting(watched);
    const program = await named('micro', () => watched.compile(graph, { store }));
    const step = (count: number): TrainerStep => ({
      microBatches: () => each(Array.from({ length: count }, () => micro(program, 1 / count))),
      names,
      update: { learningRate: 0.1 },
    });
    await trainer.queue(step(1)); // compiles the update
    log.length = 0;
    const first = trainer.queue(step(1));
    const second = trainer.queue(step(1));
    await Promise.all([first, second]);
    t.same(log, ['+micro', '+update', '+micro', '-micro', '-update', '+update', '-micro', '-update']);
    log.length = 0;
    await trainer.queue(step(3));
    t.same(
      log,
      ['+micro', '+micro', '-micro', '+micro', '+update', '-micro', '-micro', '-update'],
      'of many micro-batches two are queued at a time',
    );
  },
);

t.test('an outcome has the loss by shares, the norm, and what ran', async (t) => {
  const { store, graph, names, trainer } = await setting(device);
  const program = await device.compile(graph, { store });
  const before = await store.read('w');
  const none = await trainer.queue({ microBatches: () => each([]), names, update: { learningRate: 0.1 } });
  t.match(none, { loss: Number.NaN, microBatches: 0, applied: false, flops: 0 });
  t.same(await store.read('w'), before, 'no micro-batch, no update');
  const two = [micro(program, 0.25, [0, 1], 4), micro(program, 0.75, [2, 3], 8)];
  const outcome = await trainer.queue({ microBatches: () => each(two), names, update: { learningRate: 0.1 } });
  t.match(outcome, { loss: 0.25 * 6 + 0.75 * 10, microBatches: 2, applied: true });
  t.ok(outcome.ms > 0 && outcome.waitedMs >= 0 && outcome.gradNorm > 0);
  t.not((await store.read('w'))[0], 1);
});

t.test('a step that fails changes nothing, nor does the one behind it', async (t) => {
  const { store, graph, names, trainer } = await setting(device);
  const program = await device.compile(graph, { store });
  const queue = (...batches: MicroBatch[]) =>
    trainer.queue({ microBatches: () => each(batches), names, update: { learningRate: 0.1 } });
  const bad = queue(micro(program, 0.5), micro(program, 0.5, [0, 4])); // w has no row 4
  const behind = queue(micro(program));
  await Promise.allSettled([bad, behind]);
  await t.rejects(bad, { code: 'BAD_ARGUMENT', message: /4/ });
  await t.rejects(behind, { code: 'BAD_ARGUMENT' });
  t.ok((await store.read('w')).every((value) => value === 1));
  t.ok((await store.gradient('w')).every((value) => value === 0));
  t.equal(store.count('w'), 0);
  t.match(await queue(micro(program)), { applied: true }, 'the trainer still works');
});

t.test('a signal and stop() refuse work that has not started', async (t) => {
  const { store, graph, names, trainer } = await setting(device);
  const program = await device.compile(graph, { store });
  const step = { microBatches: () => each([micro(program)]), names, update: { learningRate: 0.1 } };
  await t.rejects(trainer.queue(step, AbortSignal.abort()), { code: 'ABORT_ERR' });
  const queued = [trainer.queue(step), trainer.queue(step)];
  await trainer.stop();
  for (const outcome of queued) await t.rejects(outcome, { code: 'ABORT_ERR' });
  t.ok((await store.read('w')).every((value) => value === 1));
  t.match(await trainer.queue(step), { applied: true });
});

t.test('a loss that is not finite leaves the step out on the device, though its gradients are finite', async (t) => {
  const { store, graph, names, trainer } = await setting(device);
  const program = await device.compile(graph, { store });
  for (const extra of [Number.POSITIVE_INFINITY, Number.NaN]) {
    const batches = [micro(program, 0.5, [0, 1], extra), micro(program, 0.5)];
    const outcome = await trainer.queue({ microBatches: () => each(batches), names, update: { learningRate: 0.1 } });
    t.match(outcome, { applied: false, gradNorm: Number.NaN, microBatches: 2 });
  }
  t.ok((await store.read('w')).every((value) => value === 1));
  t.equal(store.count('w'), 0);
  t.match(await trainer.queue({ microBatches: () => each([micro(program)]), names, update: { learningRate: 0.1 } }), {
    applied: true,
  });
});

t.test('without the guard, gradients alone decide', async (t) => {
  const store = new ParameterStore(device);
  store.declare({ name: 'w', shape: [1], workingCopy: false, decay: false });
  const graph = new Graph();
  const loss = sum(mul(graph.parameter('w', [1]), graph.input('x', [1])).add(graph.input('extra', [1])));
  const names = accumulateGradients(loss);
  graph.output('loss', loss);
  const program = await device.compile(graph, { store });
  await program.run({ x: [1], extra: [Number.POSITIVE_INFINITY] });
  t.match(await createOptimizer('adamw', store, {}).step(names, { learningRate: 0.1 }), { applied: true, gradNorm: 1 });
});

t.test('a group: a run that fails stops those behind it, and only them', async (t) => {
  const { store, graph } = await setting(device);
  const program = await device.compile(graph, { store });
  const { inputs } = micro(program);
  const group = new RunGroup();
  const failing = program.run({ ...inputs, rows: [0, 9] }, { group });
  const behind = program.run(inputs, { group });
  const other = program.run(inputs);
  const [failed, refused, unhurt] = await Promise.allSettled([failing, behind, other]);
  t.match(failed, { status: 'rejected', reason: { code: 'BAD_ARGUMENT' } });
  t.match(refused, { status: 'rejected', reason: { code: 'ABORT_ERR' } });
  t.match(unhurt, { status: 'fulfilled' });
  t.ok(group.stopped);
  await t.rejects(program.run(inputs, { group }), { code: 'ABORT_ERR', message: /before it started/ });
});

t.test('a stream of steps is one ahead where that is allowed', async (t) => {
  const begun: number[] = [];
  const finish: (() => void)[] = [];
  const outcome = (step: number) =>
    new Promise<never>((resolve) => {
      finish[step] = () => resolve({ step } as never);
    });
  const stream = new StepStream(
    async (step) => {
      begun.push(step);
      return { outcome: outcome(step) };
    },
    (step) => step !== 2,
  );
  const first = stream.next(0);
  await new Promise(setImmediate);
  t.same(begun, [0, 1]);
  t.ok(stream.isAhead);
  finish[0]!();
  await first;
  const second = stream.next(1);
  await new Promise(setImmediate);
  t.same(begun, [0, 1], 'step 2 may not follow');
  t.notOk(stream.isAhead);
  finish[1]!();
  t.match((await second).result, { step: 1 });
  const third = stream.next(2);
  await new Promise(setImmediate);
  t.same(begun, [0, 1, 2, 3]);
  finish[2]!();
  await third;
  finish[3]!();
  await stream.drop();
  t.notOk(stream.isAhead);
});
