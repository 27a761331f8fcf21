import { join } from 'node:path';
import t from 'tap';
import { optimizerState, ParameterStore } from '../../lib/engine/index.js';
import { createMethod, type TrainingMethod } from '../../lib/methods/index.js';
import { readCheckpointState } from '../../lib/train/checkpoint/checkpoint.js';
import { latestCheckpoint } from '../../lib/train/checkpoint/checkpoint-folder.js';
import { identityOf, resolveConfig, type TrainOptions } from '../../lib/train/config.js';
import { comparable, contentsOf, openTinyDevice, runTiny, tinyMethod, tinyModel, tinyOptions } from './tiny.js';

const device = await openTinyDevice();
t.teardown(() => device.close());

t.test('settings: defaults by the run, and none for another optimizer', (t) => {
  const adamw = resolveConfig(tinyOptions);
  t.equal(adamw.optimizer, 'adamw');
  t.equal(adamw.muon, undefined);
  const defaults = {
    momentum: 0.95,
    nesterov: true,
    iterations: 5,
    precision: 'f32',
    adjust: 'match_rms_adamw',
    rateFactor: 1,
  };
  t.same(resolveConfig({ ...tinyOptions, optimizer: 'muon' }).muon, defaults);
  t.equal(resolveConfig({ ...tinyOptions, optimizer: 'muon', precision: 'bf16' }).muon?.precision, 'bf16');
  const own = {
    ...tinyOptions,
    optimizer: 'muon',
    precision: 'bf16',
    muon: { precision: 'f32', momentum: 0.9 },
  } as const;
  t.same(resolveConfig(own).muon, { ...defaults, momentum: 0.9 });
  const bad = (options: object, message: RegExp) =>
    t.throws(() => resolveConfig({ ...tinyOptions, ...options } as TrainOptions), { code: 'BAD_CONFIG', message });
  bad({ muon: { momentum: 0.9 } }, /train\.muon: .* train\.optimizer is "adamw"/);
  bad({ optimizer: 'muon', muon: { momentum: 1 } }, /train\.muon\.momentum/);
  bad({ optimizer: 'sgd' }, /train\.optimizer/);
  t.end();
});

t.test("AdamW's identity is what it was before there was a choice, so its old checkpoints resume", (t) => {
  const identity = (options: Partial<TrainOptions>) =>
    identityOf(resolveConfig({ ...tinyOptions, ...options }), tinyModel.config, tinyMethod(), 'corpus');
  t.same(
    Object.keys(identity({ optimizer: 'adamw' })).filter((key) => key === 'optimizer' || key === 'muon'),
    [],
  );
  t.match(identity({ optimizer: 'muon' }), { optimizer: 'muon', muon: { momentum: 0.95, precision: 'f32' } });
  t.end();
});

const half = { hidden: tinyModel.config.hidden / 2, heads: tinyModel.config.heads / 2, ffn: tinyModel.config.ffn / 2 };
const common = { layers: 4, totalSteps: 24, seed: 5 };
const methods: Record<string, TrainingMethod> = {
  apollo: tinyMethod({ moments: 'copyScaled' }),
  stackbert: createMethod('stackbert', { ...common, moments: 'copy' }),
  mslt: createMethod('mslt', common),
  staged: createMethod(
    'staged',
    {
      ...common,
      stages: [
        { trainedLayers: 2, shape: half, boundary: 0.25 },
        { trainedLayers: 4, shape: half, boundary: 0.5 },
        { trainedLayers: 4 },
      ],
    },
    { model: tinyModel.config },
  ),
};

for (const [name, method] of Object.entries(methods)) {
  t.test(`${name} with Muon: cut inside stages and at growths, it ends with the same bits`, async (t) => {
    const [whole, cut] = [join(t.testdir(), 'whole'), join(t.testdir(), 'cut')];
    const muon = { optimizer: 'muon', learningRate: 1e-2 } as const;
    const events = await runTiny(device, muon, { method, checkpointDir: whole });
    const steps = events.filter((event) => event.type === 'step');
    t.ok(
      steps.every(({ applied, loss }) => applied && Number.isFinite(loss)),
      'every update was applied',
    );
    const losses = steps.map(({ loss }) => loss);
    const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
    t.ok(mean(losses.slice(-4)) < mean(losses.slice(0, 4)), 'the loss falls');
    const growths = events.flatMap((event) => (event.type === 'growth' ? [event.step] : []));
    t.ok(growths.length > 0);
    const pieces = [];
    for (const step of [2, ...growths.flatMap((growth) => [growth, growth + 2]), 24]) {
      const stopAfter = { steps: step };
      pieces.push(...(await runTiny(device, { ...muon, stopAfter }, { method, checkpointDir: cut, resume: 'auto' })));
    }
    const stepsOf = (all: typeof events) => comparable(all.filter((event) => event.type === 'step'));
    t.equal(stepsOf(pieces), stepsOf(events));
    const [a, b] = [(await latestCheckpoint(whole))!.path, (await latestCheckpoint(cut))!.path];
    t.equal(await contentsOf(device, b), await contentsOf(device, a));
    const { counts } = await readCheckpointState(a);
    t.equal(counts['layer.0.attention.qkv.weight'], 0, 'Muon counts no steps');
    t.ok(counts['layer.0.attention.qkv.bias']! > 0, 'AdamW does');
    await t.rejects(runTiny(device, {}, { method, checkpointDir: cut, resume: true }), {
      code: 'BAD_CONFIG',
      message: /optimizer: absent, was "muon"/,
    });
  });
}

t.test('Muon trains in bf16, on the working copies', async (t) => {
  const store = new ParameterStore(device, { precision: 'bf16' });
  const events = await runTiny(device, { optimizer: 'muon', precision: 'bf16' }, { store });
  const steps = events.filter((event) => event.type === 'step');
  t.ok(steps.every(({ applied }) => applied));
  t.ok(steps.at(-1)!.loss < steps[0]!.loss);
  t.same(
    store.slots('layer.0.ffn.up.weight').map(({ name }) => name),
    ['momentum'],
  );
  t.throws(() => store.keepState(optimizerState('adamw')), { code: 'BAD_ARGUMENT' });
  store.dispose();
});
