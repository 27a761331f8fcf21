/** Steps and micro-batches without anything to predict: left out, told and counted, and no success where all are so. */
import t from 'tap';
import { hasTarget } from '../../lib/train/corpus.js';
import { type DoneEvent, listCheckpoints, type StepEvent, type TrainingCorpus } from '../../lib/train/index.js';
import { contentsOf, countingCorpus, openTinyDevice, runTiny } from './tiny.js';

const device = await openTinyDevice();
t.teardown(() => device.close());

/** The counting corpus without the labels of some batches. */
const without = (isEmpty: (step: number, micro: number) => boolean): TrainingCorpus => ({
  ...countingCorpus,
  key: 'some labels',
  async batch(request) {
    const { tokens, labels } = await countingCorpus.batch(request);
    return { tokens: tokens!, labels: isEmpty(request.step, request.micro) ? labels!.map(() => -100) : labels! };
  },
});

const stepsOf = (events: readonly { type: string }[]) =>
  events.filter((event): event is StepEvent => event.type === 'step');

t.test('a batch without labels has no target', async (t) => {
  t.notOk(hasTarget({ labels: Int32Array.of(-100, -100) }));
  t.ok(hasTarget({ labels: Int32Array.of(-100, 0) }));
});

t.test('a step without a target changes no weight, is reported once and counted', async (t) => {
  const folder = t.testdir();
  const at = (name: string) => `${folder}/${name}`;
  const corpus = without((step) => step === 3 || step === 4 || step >= 8);
  const events = await runTiny(device, { steps: 24, stopAfter: { steps: 10 } }, { corpus, checkpointDir: at('ten') });
  const empty = stepsOf(events).filter((event) => event.withoutTarget);
  t.same(
    empty.map(({ step, applied }) => [step, applied]),
    [4, 5, 9, 10].map((step) => [step, false]),
  );
  t.ok(empty.every(({ loss }) => Number.isNaN(loss)));
  t.ok(stepsOf(events).every(({ loss, withoutTarget }) => withoutTarget || loss > 0));
  t.same(
    events.filter(({ type }) => type === 'warning'),
    [
      {
        type: 'warning',
        step: 4,
        code: 'NO_TARGET',
        message:
          'Step 4 has nothing to predict: all its tokens are special ones. It was skipped; such steps are counted.',
      },
    ],
  );
  const done = events.at(-1) as DoneEvent;
  t.equal(done.stepsWithoutTarget, 4);
  const shorter = await runTiny(device, { steps: 24, stopAfter: { steps: 8 } }, { corpus, checkpointDir: at('eight') });
  const weights = async (event: DoneEvent) =>
    (JSON.parse(await contentsOf(device, event.checkpoint!)) as unknown[]).filter(
      (part) => Array.isArray(part) && part.length === 4,
    );
  t.ok((await weights(done)).length > 10);
  t.same(await weights(done), await weights(shorter.at(-1) as DoneEvent), 'the last two steps changed nothing');
});

t.test('micro-batches without a target are left out of a step', async (t) => {
  const all = stepsOf(await runTiny(device, { steps: 24, stopAfter: { steps: 1 } }));
  const half = stepsOf(
    await runTiny(device, { steps: 24, stopAfter: { steps: 1 } }, { corpus: without((_, micro) => micro === 1) }),
  );
  t.ok(half[0]!.applied && half[0]!.loss > 0);
  t.equal(half[0]!.flopsExecuted, all[0]!.flopsExecuted / 2);
});

t.test('a run of which no step had a target is no success', async (t) => {
  await t.rejects(runTiny(device, { steps: 24, stopAfter: { steps: 6 } }, { corpus: without(() => true) }), {
    code: 'BAD_CORPUS',
    message: /None of 6 steps had anything to predict/,
  });
});

t.test(
  'a run without a target leaves its checkpoint, and one that resumes for a few such steps is no error',
  async (t) => {
    const options = { steps: 24, evaluateEvery: 0 };
    const empty = { corpus: without(() => true), checkpointDir: t.testdir() };
    await t.rejects(runTiny(device, { ...options, stopAfter: { steps: 3 } }, empty), { code: 'BAD_CORPUS' });
    t.same(
      (await listCheckpoints(empty.checkpointDir)).map(({ step }) => step),
      [3],
    );

    const corpus = without((step) => step >= 4);
    const deps = { corpus, checkpointDir: t.testdir(), resume: 'auto' } as const;
    await runTiny(device, { ...options, stopAfter: { steps: 4 } }, deps);
    const events = await runTiny(device, { ...options, stopAfter: { steps: 6 } }, deps);
    t.match(events.at(-1), { type: 'done', step: 6, stepsWithoutTarget: 2 });
    t.equal((await listCheckpoints(deps.checkpointDir)).at(-1)?.step, 6);
  },
);

t.test('held-out text without a target is reported', async (t) => {
  const corpus: TrainingCorpus = {
    ...countingCorpus,
    async heldOut(request) {
      const { tokens, labels } = await countingCorpus.heldOut(request);
      return { tokens: tokens!, labels: labels!.map(() => -100) };
    },
  };
  await t.rejects(runTiny(device, { steps: 24, stopAfter: { steps: 1 } }, { corpus }), {
    code: 'BAD_CORPUS',
    message: /The held-out text has nothing to predict/,
  });
});
