/** Objectives of a host program: through stages, evaluations, comparisons and checkpoints. */
import t from 'tap';
import { add, crossEntropy, logSoftmax, mean, mul } from '../../lib/engine/ops/index.js';
import { compare } from '../../lib/index.js';
import type { EvaluationEvent, Objective, StepEvent, TrainEvent } from '../../lib/train/index.js';
import { countingCorpus, openTinyDevice, runTiny, tinyModel } from './tiny.js';

const device = await openTinyDevice();
t.teardown(() => device.close());

/** The model's own objective, over logits. */
const plain: Objective = {
  name: 'plain',
  trace({ logits, input, shape }) {
    return crossEntropy(logits(), input('labels', [shape.batch * shape.seq]));
  },
};

/** Label smoothing of the training loss. */
const smoothed: Objective = {
  name: 'smoothed',
  trace({ logits, input, shape, training }) {
    const scores = logits();
    const { loss, count } = crossEntropy(scores, input('labels', [shape.batch * shape.seq]));
    const own = training ? add(mul(loss, 0.9), mul(mean(logSoftmax(scores)), -0.1)) : loss;
    return { loss: own, count };
  },
};

const stepsOf = (events: readonly TrainEvent[]) => events.filter((event): event is StepEvent => event.type === 'step');
const evaluationsOf = (events: readonly TrainEvent[]) =>
  events.filter((event): event is EvaluationEvent => event.type === 'evaluation');

t.test("the model's own loss as an objective trains alike, through all stages", async (t) => {
  const own = await runTiny(device);
  const same = await runTiny(device, {}, { objective: plain });
  for (const [i, { loss, gradNorm }] of stepsOf(same).entries()) {
    t.ok(Math.abs(loss - stepsOf(own)[i]!.loss) < 1e-3 && gradNorm > 0, `step ${i + 1}`);
  }
  for (const [i, { lossFull }] of evaluationsOf(same).entries()) {
    t.ok(Math.abs(lossFull - evaluationsOf(own)[i]!.lossFull) < 1e-3);
  }
});

t.test(
  'an objective may differ between training and evaluation, and is part of what a checkpoint belongs to',
  async (t) => {
    const checkpointDir = t.testdir();
    const events = await runTiny(device, { stopAfter: { steps: 8 } }, { objective: smoothed, checkpointDir });
    const [first] = stepsOf(events);
    t.ok(Math.abs(first!.loss - Math.log(13)) < 0.2);
    t.ok(evaluationsOf(events).at(-1)!.lossFull < first!.loss);
    for (const objective of [undefined, plain]) {
      await t.rejects(runTiny(device, {}, { checkpointDir, resume: true, ...(objective && { objective }) }), {
        code: 'BAD_CONFIG',
        message: /objective: .*was "smoothed"/,
      });
    }
    const resumed = await runTiny(device, {}, { checkpointDir, resume: true, objective: smoothed });
    t.equal(stepsOf(resumed)[0]!.step, 9);
  },
);

t.test('a comparison by an objective of one’s own', async (t) => {
  const settings = { steps: 8, batch: 4, seq: 16, evaluateEvery: 4, learningRate: 3e-3 };
  const host = { device, model: tinyModel, corpus: countingCorpus, objective: smoothed, folder: t.testdir() };
  const seen: string[] = [];
  for await (const event of compare({ ...settings, ...host, methods: ['scratch', 'stackbert'] })) {
    if (event.type === 'results') t.ok(event.finished);
    else if (event.event.type === 'done') seen.push(event.method);
  }
  t.same(seen.sort(), ['scratch', 'stackbert']);
  const again = compare({ ...settings, ...host, objective: plain, resume: true, methods: ['scratch', 'stackbert'] });
  await t.rejects(again.next(), { code: 'BAD_CONFIG', message: /objective/ });
});

t.test('what is no objective is refused', async (t) => {
  await t.rejects(runTiny(device, {}, { objective: { name: 'none' } as Objective }), {
    code: 'BAD_ARGUMENT',
    message: /objective.*trace/,
  });
});

t.test('a stop rule ends a run with a checkpoint, from which it resumes', async (t) => {
  const checkpointDir = t.testdir();
  const stop = (event: StepEvent | EvaluationEvent) => event.type === 'step' && event.step === 5;
  const events = await runTiny(device, {}, { stop, checkpointDir });
  t.match(events.at(-1), { type: 'done', step: 5, stopped: true, aborted: false, complete: false });
  t.match(events.at(-2), { type: 'checkpoint', step: 5 });
  const whole = await runTiny(device);
  const rest = await runTiny(device, {}, { checkpointDir, resume: true });
  t.same(
    stepsOf(rest).map(({ loss }) => loss),
    stepsOf(whole)
      .slice(5)
      .map(({ loss }) => loss),
  );
  const atEvaluation = await runTiny(device, {}, { stop: ({ type, step }) => type === 'evaluation' && step === 8 });
  t.match(atEvaluation.at(-1), { type: 'done', step: 8, stopped: true });
});
