// LiGO in the loop: a small model is trained and saved, operators train on it, the weights are materialised.
import { join } from 'node:path';
import t from 'tap';
import { ligo, scratch } from '../../lib/methods/index.js';
import { createModel } from '../../lib/models/index.js';
import type { EvaluationEvent, StepEvent, TrainEvent } from '../../lib/train/index.js';
import { comparable, openTinyDevice, runTiny, tinyModel } from '../train/tiny.js';

const device = await openTinyDevice();
t.teardown(() => device.close());

const small = { layers: 2, hidden: 16, heads: 1, ffn: 64 };
const folder = t.testdir();
const source = join(folder, 'small');
const smallModel = createModel({ ...tinyModel.config, ...small });
await runTiny(
  device,
  { steps: 60 },
  { model: smallModel, method: scratch({ layers: 2, totalSteps: 60, seed: 1 }), checkpointDir: source },
);

const steps = 40;
const operatorSteps = 30;
const method = ligo(
  { layers: 4, totalSteps: steps, seed: 2, source, small, operatorSteps, operatorLearningRate: 0.01 },
  { model: tinyModel.config },
);
const only = <Type extends TrainEvent['type']>(events: readonly TrainEvent[], type: Type) =>
  events.filter((event): event is Extract<TrainEvent, { type: Type }> => event.type === type);

for (const precision of ['f32', 'bf16'] as const) {
  t.test(`operators learn and their weights take over (${precision})`, async (t) => {
    // Almost no learning after the switch: what the network knew before, it must know afterwards.
    const options = { steps, precision, learningRate: 1e-12, evaluateEvery: 10 };
    const events = await runTiny(device, options, { method });
    const at = (step: number) =>
      (only(events, 'evaluation').find((event) => event.step === step) as EvaluationEvent).lossFull as number;
    t.ok(at(30) < at(0) - 0.1, `loss ${at(0)} -> ${at(30)}`);
    // In bf16 the expressions are made of the small model's bf16 copies, the weights of its masters.
    const limit = precision === 'f32' ? 1e-5 : 1e-2;
    t.ok(Math.abs(at(40) / at(30) - 1) <= limit, `loss ${at(30)} before the switch, ${at(40)} after`);

    const growth = only(events, 'growth');
    t.equal(growth.length, 1);
    t.match(growth[0], { step: operatorSteps, from: 4, to: 4 });
    const trained = only(events, 'step') as StepEvent[];
    t.ok(
      trained.every(({ learningRate, step }) =>
        step <= operatorSteps ? learningRate === 0.01 : learningRate <= 1e-12,
      ),
    );
    const cost = (step: number) =>
      (trained[step] as StepEvent).flopsModel - (trained[step - 1] as StepEvent).flopsModel;
    t.equal(cost(10) - cost(35), method.plan(0).extraFlops);
  });
}

t.test('a run that stops among the operator steps resumes to the same bits', async (t) => {
  const options = { steps, evaluateEvery: 10 };
  const whole = comparable(await runTiny(device, options, { method })).split('\n');
  const checkpointDir = join(folder, 'resumed');
  const first = await runTiny(device, { ...options, stopAfter: { steps: 17 } }, { method, checkpointDir });
  const rest = comparable(await runTiny(device, options, { method, checkpointDir, resume: true })).split('\n');
  const shown = comparable(only(first, 'step')).split('\n');
  t.same(shown, whole.filter((line) => line.includes('"type":"step"')).slice(0, 17));
  t.same(rest.at(-1), whole.at(-1));
  t.same(
    rest.filter((line) => line.includes('"type":"step"')),
    whole.filter((line) => line.includes('"type":"step"')).slice(17),
  );
});
