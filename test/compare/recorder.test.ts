import t from 'tap';
import { RunRecorder } from '../../lib/compare/recorder.js';
import { createMethod } from '../../lib/methods/index.js';
import { preset } from '../../lib/models/index.js';
import { type EvaluationEvent, flopsOfStep, type StepEvent } from '../../lib/train/index.js';

// Two stages of a method with 3 layers: without sampling, 1 layer for 2 steps, then all 3.
const method = createMethod('apollo', {
  layers: 3,
  totalSteps: 4,
  seed: 1,
  stageLayers: [1, 3],
  boundaries: { steps: [2] },
  sampler: 'none',
});

// 8 h^2 + 4 h f + 4 S h = 8 + 4 * 8 + 4 * 1 * 2 = 48 FLOPs per layer and token: with h 1, f 8, S 2; 144 in training.
const model = { ...preset('gpt-nano'), hidden: 1, heads: 1, ffn: 8 };
const size = { seq: 2, tokens: 1 };

/** FLOPs of the first steps by the method's plan. */
const planned = (steps: number): number =>
  Array.from({ length: steps }, (_, step) => flopsOfStep(method, model, step, size).model).reduce((a, b) => a + b, 0);

const start = (step: number, flopsExecuted = 0) => {
  const totals = { flopsModel: 0, flopsExecuted, tokens: 0, trainMs: 0 };
  return { type: 'start', step, steps: 4, layers: 3, trainedLayers: 1, parameters: 1, ...totals } as const;
};
const step = (number: number, loss: number): StepEvent => ({
  type: 'step',
  step: number,
  loss,
  gradNorm: 1,
  learningRate: 1,
  depth: 1,
  trainedLayers: 1,
  applied: true,
  flopsModel: planned(number),
  flopsExecuted: 90 * number,
  tokens: 8 * number,
  trainMs: 5 * number,
  ms: 5,
  tokensPerSecond: 1,
  waitedMs: 0,
});
const evaluation = (number: number, loss: number): EvaluationEvent => ({
  type: 'evaluation',
  step: number,
  trainedLayers: 1,
  lossFull: loss,
  lossStage: loss + 1,
  flopsModel: planned(number),
  trainMs: 5 * number,
  tokens: 8 * number,
  ms: 1,
});

t.test('a run becomes evaluations with all costs, and stages with their depths', async (t) => {
  const recorder = new RunRecorder({ method, seed: 7, model, size });
  for (const event of [start(0), evaluation(0, 9), step(1, 8), step(2, 6), evaluation(2, 5), step(3, 4)])
    recorder.add(event);
  const record = recorder.record();
  t.match(record, { method: 'apollo', seed: 7, finished: false });
  t.same(record.stages, [
    { step: 0, trainedLayers: 1, depthSteps: [0, 2, 0, 0] },
    { step: 2, trainedLayers: 3, depthSteps: [0, 0, 0, 1] },
  ]);
  t.equal(record.evaluations.length, 2);
  t.equal(record.evaluations[0]!.trainLoss, undefined);
  t.match(record.evaluations[1], {
    step: 2,
    tokens: 16,
    flopsModel: planned(2),
    flopsLayers: 2 * 144,
    flopsExecuted: 180,
    trainMs: 10,
    lossFull: 5,
    lossStage: 6,
    trainLoss: 7,
  });
});

t.test('a resumed run drops what is ahead of its checkpoint', async (t) => {
  const first = new RunRecorder({ method, seed: 7, model, size });
  for (const event of [start(0), evaluation(0, 9), step(1, 8), evaluation(1, 7), step(2, 6), evaluation(2, 5)])
    first.add(event);
  const second = new RunRecorder({ method, seed: 7, model, size, previous: first.record() });
  second.add(start(1, 90));
  t.equal(second.record().evaluations.length, 2, 'the evaluation at step 2 is due again');
  for (const event of [step(2, 6), evaluation(2, 5), step(3, 4), step(4, 3), evaluation(4, 2)]) second.add(event);
  second.add({
    type: 'done',
    step: 4,
    aborted: false,
    complete: true,
    flopsModel: 400,
    flopsExecuted: 360,
    tokens: 32,
    trainMs: 20,
  });
  const record = second.record();
  t.ok(record.finished);
  t.same(
    record.evaluations.map((point) => [point.step, point.flopsLayers, point.flopsExecuted]),
    [
      [0, 0, 0],
      [1, 144, 90],
      [2, 2 * 144, 180],
      [4, 8 * 144, 360],
    ],
  );
  t.same(
    record.stages.map((stage) => stage.depthSteps),
    [
      [0, 2, 0, 0],
      [0, 0, 0, 2],
    ],
  );
});

t.test('a run whose turn has not come is recorded as it was', async (t) => {
  const first = new RunRecorder({ method, seed: 7, model, size });
  const costs = { flopsModel: 1, flopsLayers: 1, flopsExecuted: 1, trainMs: 1 };
  const ended = { flopsModel: 400, flopsExecuted: 360, tokens: 32, trainMs: 20 };
  first.add({ ...start(0), source: { ...costs, tokens: 1 } });
  for (const event of [evaluation(0, 9), step(1, 8), step(2, 6), step(3, 4), step(4, 3), evaluation(4, 2)])
    first.add(event);
  first.add({ type: 'done', step: 4, aborted: false, complete: true, ...ended });
  const previous = first.record();
  t.match(previous, { finished: true, source: costs, stages: [{ step: 0 }, { step: 2 }] });
  const second = new RunRecorder({ method, seed: 7, model, size, previous });
  t.same(second.record(), previous);
  second.add(start(2, 180));
  t.match(second.record(), { finished: false, evaluations: [{ step: 0 }] }, 'from its start on it is what it does');
});

t.test('a run that was stopped before its evaluation and resumes there has the FLOPs of its checkpoint', async (t) => {
  const first = new RunRecorder({ method, seed: 7, model, size });
  for (const event of [start(0), evaluation(0, 9), step(1, 8), step(2, 6)]) first.add(event);
  const second = new RunRecorder({ method, seed: 7, model, size, previous: first.record() });
  for (const event of [start(2, 180), evaluation(2, 5)]) second.add(event);
  t.match(second.record().evaluations[1], { step: 2, flopsLayers: 2 * 144, flopsExecuted: 180 });
});

t.test('a step that was skipped for its loss has no part in the mean', async (t) => {
  const recorder = new RunRecorder({ method, seed: 7, model, size });
  for (const event of [
    start(0),
    step(1, 8),
    step(2, Number.NaN),
    evaluation(2, 5),
    step(3, Number.NaN),
    evaluation(3, 4),
  ])
    recorder.add(event);
  const [first, second] = recorder.record().evaluations;
  t.equal(first!.trainLoss, 8);
  t.equal(second!.trainLoss, undefined);
});

t.test('passes of a calibration are passes through layers', async (t) => {
  const recorder = new RunRecorder({ method, seed: 7, model, size });
  const calibrated = { ...evaluation(2, 5), flopsModel: planned(2) + 1000 };
  for (const event of [start(0), step(1, 8), step(2, 6), calibrated]) recorder.add(event);
  t.match(recorder.record().evaluations, [{ flopsModel: planned(2) + 1000, flopsLayers: 2 * 144 + 1000 }]);
});
