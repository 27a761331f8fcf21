import t from 'tap';
import { ParameterStore } from '../../lib/engine/index.js';
import { createModel, type LanguageModel } from '../../lib/models/index.js';
import type { StepEvent, TrainEvent, WarningEvent } from '../../lib/train/index.js';
import { NonFiniteSteps } from '../../lib/train/non-finite.js';
import { openTinyDevice, runTiny, tinyMethod, tinyModel } from './tiny.js';

const device = await openTinyDevice();
t.teardown(() => device.close());

/** The tiny model with its training loss multiplied by `factor`, a function of the depth. */
function poisonable(factor: (depth: number) => number): LanguageModel {
  const model = createModel({ ...tinyModel.config, dropout: 0, attentionDropout: 0 });
  return {
    ...model,
    trace: (graph, weights, batch, options) => {
      const traced = model.trace(graph, weights, batch, options);
      return options.training ? { ...traced, loss: traced.loss.mul(factor(options.layerMap.length)) } : traced;
    },
  };
}

t.test('one bad step is skipped with a warning, and the run continues', async (t) => {
  const store = new ParameterStore(device, { precision: 'f32' });
  // Without sampling only the first stage runs at depth 1.
  const model = poisonable((depth) => (depth === 1 ? Number.POSITIVE_INFINITY : 1));
  const method = tinyMethod({ sampler: 'none' });
  const weights: Float32Array[] = [];
  const events: TrainEvent[] = [];
  await runTiny(device, { nonFiniteLimit: 7, evaluateEvery: 0 }, { model, method, store }, (event) =>
    events.push(event),
  );
  const steps = events.filter((event): event is StepEvent => event.type === 'step');
  t.equal(steps.length, 24);
  t.same(
    steps.map((event) => event.applied),
    steps.map((event) => event.step > 6),
    'the six steps of stage one are left out',
  );
  const warnings = events.filter((event): event is WarningEvent => event.type === 'warning');
  t.same(
    warnings.map((event) => [event.step, event.code]),
    [1, 2, 3, 4, 5, 6].map((step) => [step, 'NON_FINITE']),
  );
  t.match(warnings[0]?.message, /Step 1 \(depth 1, learning rate 0\): loss Infinity, .* was skipped/);
  for (const name of store.names()) weights.push(await store.read(name));
  t.ok(
    weights.every((values) => values.every(Number.isFinite)),
    'no NaN has reached the weights',
  );
  t.equal(store.count('layer.0.ffn.up.weight'), 18, 'left-out updates do not count for AdamW');
  store.dispose();
});

t.test('after too many in a row the run stops and says what to try', async (t) => {
  const model = poisonable(() => Number.NaN);
  const events: TrainEvent[] = [];
  await t.rejects(
    runTiny(device, { nonFiniteLimit: 3, maxNorm: 0 }, { model }, (event) => events.push(event)),
    {
      code: 'NON_FINITE',
      message:
        /^Step 3 .*loss NaN.*3rd consecutive step without an update.*a lower learningRate than 0\.003.*maxNorm 1 \(clipping is off\).*No checkpoint was written\. See docs\/troubleshooting\.md#loss-is-not-finite\.$/,
    },
  );
  t.same(
    events.filter((event) => event.type === 'step' || event.type === 'warning').map((event) => event.type),
    ['step', 'warning', 'step', 'warning', 'step'],
  );
});

t.test('a step that was not tried changes no count', async (t) => {
  const steps = new NonFiniteSteps(3);
  steps.add({ applied: false, microBatches: 2 });
  steps.add({ applied: false, microBatches: 0 });
  t.equal(steps.count, 1);
  steps.add({ applied: true, microBatches: 0 });
  t.equal(steps.count, 1);
  steps.add({ applied: true, microBatches: 2 });
  t.equal(steps.count, 0);
});

t.test('the count of bad steps goes through a checkpoint', async (t) => {
  const checkpointDir = t.testdir();
  const model = poisonable(() => Number.NaN);
  await runTiny(device, { stopAfter: { steps: 2 }, evaluateEvery: 0 }, { model, checkpointDir });
  await t.rejects(runTiny(device, { nonFiniteLimit: 3, evaluateEvery: 0 }, { model, checkpointDir, resume: true }), {
    code: 'NON_FINITE',
    message: /^Step 3 .*The last checkpoint is .*step-00000002\./,
  });
});

t.test('a gradient that is too large for f32 is caught by its norm', async (t) => {
  // The loss stays finite (about 2.6 x 1e37), its gradients' squares do not fit into the norm as f32.
  const model = poisonable(() => 1e37);
  const events = await runTiny(
    device,
    { nonFiniteLimit: 100, stopAfter: { steps: 2 }, evaluateEvery: 0, accumulation: 1 },
    { model },
  );
  const steps = events.filter((event): event is StepEvent => event.type === 'step');
  t.ok(steps.every((event) => Number.isFinite(event.loss)));
  t.same(
    steps.map((event) => event.applied),
    steps.map((event) => Number.isFinite(event.gradNorm)),
  );
  t.equal(steps.length, 2);
});
