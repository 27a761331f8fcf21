import t, { type Test } from 'tap';
import { optimizerState, ParameterStore } from '../../lib/engine/index.js';
import { type GStackOptions, gstack } from '../../lib/methods/index.js';
import { createModel, declareSpecs, initialValue, withDefaults } from '../../lib/models/index.js';
import { streamMeter } from '../../lib/train/calibrate.js';
import { grow } from '../../lib/train/growth.js';
import type { EvaluationEvent, GrowthEvent, StepEvent } from '../../lib/train/index.js';
import { stageNetwork } from '../../lib/train/stage.js';
import { layerGrowth } from '../methods/support.js';
import { openTinyDevice, runTiny, tinyModel } from './tiny.js';

const device = await openTinyDevice();
t.teardown(() => device.close());

const sizes = { layers: 6, hidden: 32, heads: 2, vocabSize: 13, maxPositions: 8 };
const tokens = Int32Array.from({ length: 16 }, (_, i) => (7 * i) % 13);
const batch = { shape: { batch: 2, seq: 8, padding: false }, inputs: { tokens, labels: tokens } };
const plan = layerGrowth(gstack({ layers: 6, totalSteps: 100, seed: 1, factor: 2, calibrate: true }), 10);

/** A network of 3 layers whose weights are `scale` times as large as they begin, in a store. */
async function network(t: Test, kind: 'gpt' | 'bert', scale: number) {
  const model = createModel(withDefaults({ kind, ...sizes }));
  const store = new ParameterStore(device, { precision: 'f32' });
  t.teardown(() => store.dispose());
  store.keepState(optimizerState('adamw'));
  const of = (trainedLayers: number) => stageNetwork(model, { index: 0, trainedLayers });
  declareSpecs(store, of(3).specs);
  for (const spec of of(3).specs)
    await store.write(
      spec.name,
      initialValue(spec, 5).map((x) => scale * x),
    );
  const site = { store, before: of(3), after: of(6), seed: 1, batch: async () => batch };
  const size = async (trainedLayers: number) => {
    const meter = await streamMeter(of(trainedLayers), store, batch);
    const value = await meter.measure(1);
    meter.dispose();
    return value;
  };
  return { store, site, size };
}

t.test('ranks that would find other factors take the one that they agree on', async (t) => {
  const { store, site } = await network(t, 'gpt', 4);
  const name = 'layer.0.ffn.down.weight';
  const before = await store.read(name);
  const asked: number[] = [];
  const agree = async (own: number) => {
    asked.push(own);
    return 0.75;
  };
  const calibration = await grow(plan, { ...site, agree });
  t.equal(calibration?.factor, 0.75);
  t.equal(asked.length, 1);
  t.same(
    await store.read(name),
    before.map((x) => x * 0.75),
  );
});

t.test('the stream before the final norm is as large as before the growth', async (t) => {
  const { store, site, size } = await network(t, 'gpt', 4);
  const before = await size(3);
  await grow({ ...plan, calibrate: false }, site);
  t.ok((await size(6)) > 1.05 * before, 'without calibration it is larger');

  const again = await network(t, 'gpt', 4);
  const calibration = await grow(plan, again.site);
  const factor = calibration?.factor as number;
  t.ok(factor > 0.5 && factor < 1, `factor ${factor}`);
  // The factor is found to 1 / 2,048; the size changes by no more than a few times that.
  t.ok(Math.abs((await again.size(6)) / before - 1) < 0.003, `${await again.size(6)} of ${before}`);
  t.equal(calibration?.layerPasses, 3 + 12 * 6, 'one pass before, and two ends and ten halvings after');
  for (const name of ['attention.output.weight', 'attention.output.bias', 'ffn.down.weight', 'ffn.down.bias']) {
    const [plain, scaled] = [await store.read(`layer.4.${name}`), await again.store.read(`layer.4.${name}`)];
    t.same(
      scaled,
      plain.map((x) => x * factor),
      name,
    );
  }
  for (const name of [
    'embeddings.word',
    'layer.4.attention.qkv.weight',
    'layer.4.ffn.up.weight',
    'final.norm.weight',
  ]) {
    t.same(await again.store.read(name), await store.read(name), `${name} stays`);
  }
});

t.test('layers that add nothing leave nothing to calibrate', async (t) => {
  const { site } = await network(t, 'gpt', 0);
  t.match(await grow(plan, site), { factor: 1, layerPasses: 3 + 6 });
});

t.test('post-norm models and gates are refused', async (t) => {
  const { site } = await network(t, 'bert', 1);
  await t.rejects(grow(plan, site), { code: 'BAD_CONFIG', message: /post-norm model \(BERT\)/ });
  const make = (options: Partial<GStackOptions>, kind: 'gpt' | 'bert') =>
    gstack(
      { layers: 6, totalSteps: 100, seed: 1, calibrate: true, ...options },
      { model: withDefaults({ kind, ...sizes }) },
    );
  t.throws(() => make({}, 'bert'), { code: 'BAD_CONFIG', message: /gstack\.calibrate: a post-norm model/ });
  t.throws(() => make({ gate: {} }, 'gpt'), { code: 'BAD_CONFIG', message: /gstack\.calibrate: a gate/ });
  t.ok(make({}, 'gpt'));
});

t.test('a run says the factor and counts the passes', async (t) => {
  const run = async (calibrate: boolean) => {
    const method = gstack({ layers: 4, totalSteps: 24, seed: 5, factor: 2, boundaries: { steps: [12] }, calibrate });
    const events = await runTiny(device, {}, { method });
    const growth = events.find((event): event is GrowthEvent => event.type === 'growth');
    const flops = events.filter((event): event is StepEvent => event.type === 'step').map((event) => event.flopsModel);
    return {
      growth,
      flops,
      last: events.filter((event): event is EvaluationEvent => event.type === 'evaluation').at(-1),
    };
  };
  const [plain, calibrated] = [await run(false), await run(true)];
  t.notOk(plain.growth && 'calibrated' in plain.growth);
  const factor = calibrated.growth?.calibrated as number;
  t.ok(factor >= 0.5 && factor < 1, `factor ${factor}`);
  t.equal(calibrated.flops[11], plain.flops[11]);
  // Batches of 4 x 16 tokens: one pass through 2 layers, 12 through 4.
  const passes = (2 + 12 * 4) * 64 * tinyModel.flops.layer;
  t.equal((calibrated.flops[12] as number) - (plain.flops[12] as number), passes);
  t.ok(Number.isFinite(calibrated.last?.lossFull));
});
