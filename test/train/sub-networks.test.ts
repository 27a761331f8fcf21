/** Methods that leave layers out or gate them, in the loop. */
import t from 'tap';
import { ParameterStore } from '../../lib/engine/index.js';
import { layerdrop, prores, raptr, scratch, stackbert, type TrainingMethod } from '../../lib/methods/index.js';
import { createModel, withDefaults } from '../../lib/models/index.js';
import { type EvaluationEvent, type StepEvent, train } from '../../lib/train/index.js';
import { slowOnEmulator } from '../device.js';
import { comparable, countingCorpus, openTinyDevice, runTiny, tinyModel, tinyOptions, vocabSize } from './tiny.js';

const device = await openTinyDevice();
t.teardown(() => device.close());
const common = { layers: 4, totalSteps: 24, seed: 5 };

/** Value, moments and count of every parameter, as text that is equal only for equal bits. */
async function contents(store: ParameterStore): Promise<Map<string, string>> {
  const all = new Map<string, string>();
  for (const name of store.names()) {
    const parts = [await store.read(name), ...(await store.moments(name)).slots.map(({ values }) => values)];
    const bits = parts.map((x) => Buffer.from(x.buffer, x.byteOffset, x.byteLength).toString('base64'));
    all.set(name, [...bits, store.count(name)].join(' '));
  }
  return all;
}

for (const method of [raptr(common), layerdrop({ ...common, drop: 0.9 })]) {
  t.test(`${method.name}: skipped layers keep weights, moments and step counts`, async (t) => {
    const store = new ParameterStore(device);
    t.teardown(() => store.dispose());
    let before = new Map<string, string>();
    let skipped = 0;
    for await (const event of train(tinyOptions, { device, model: tinyModel, method, corpus: countingCorpus, store })) {
      if (event.type === 'start') before = await contents(store);
      if (event.type !== 'step' || event.step > 12) continue;
      const { layerMap, depth } = method.plan(event.step - 1);
      t.equal(event.depth, depth);
      const after = await contents(store);
      for (const [name, bits] of after) {
        const layer = /^layer\.(\d)/.exec(name)?.[1];
        const ran = layer === undefined || layerMap.includes(Number(layer));
        if (!ran) skipped++;
        // The first step of the warm-up has rate 0: weights stay, moments and counts change.
        if ((before.get(name) === bits) === ran) t.fail(`step ${event.step}: ${name}`);
      }
      before = after;
    }
    t.ok(skipped > 0);
  });
}

t.test('with all layers kept a run has the bits of scratch', { skip: slowOnEmulator }, async (t) => {
  const of = async (method: TrainingMethod) => comparable(await runTiny(device, {}, { method }));
  const plain = await of(scratch(common));
  t.equal(await of(raptr({ ...common, depths: [4] })), plain);
  t.equal(await of(layerdrop({ ...common, drop: 0 })), plain);
});

t.test('prores: FLOPs are those of scratch, and closed layers do not decay', { skip: slowOnEmulator }, async (t) => {
  const method = prores({ ...common, ramp: 0.5 });
  const flops = async (method: TrainingMethod) => {
    const events = await runTiny(device, { steps: 24 }, { method });
    return events.flatMap((event) => (event.type === 'step' ? [(event as StepEvent).flopsModel] : []));
  };
  t.same(await flops(method), await flops(scratch(common)));
  const store = new ParameterStore(device);
  t.teardown(() => store.dispose());
  let before = new Map<string, string>();
  const options = { ...tinyOptions, warmupSteps: 0, stopAfter: { steps: 1 } };
  for await (const event of train(options, { device, model: tinyModel, method, corpus: countingCorpus, store })) {
    if (event.type === 'start') before = await contents(store);
  }
  for (const [name, bits] of await contents(store)) t.equal(before.get(name) === bits, name.startsWith('layer.'), name);
});

t.test('a growth with a gate leaves the trained network as it was', { skip: slowOnEmulator }, async (t) => {
  const plain = withDefaults({ kind: 'gpt', layers: 4, hidden: 32, heads: 2, vocabSize, maxPositions: 16, dropout: 0 });
  for (const context of [{}, { model: plain }]) {
    const settings = { ...common, stageLayers: [2, 4], boundaries: { steps: [6] }, gate: { share: 0.25 } };
    const method = stackbert(settings, context);
    const model = createModel(plain);
    // Weights are still, so only growth and gates could move the loss.
    const events = await runTiny(device, { learningRate: 1e-12, evaluateEvery: 1 }, { method, model });
    const losses = events.filter((event): event is EvaluationEvent => event.type === 'evaluation');
    const [before, after, later] = [6, 7, 24].map((step) => losses[step] as EvaluationEvent) as [
      EvaluationEvent,
      EvaluationEvent,
      EvaluationEvent,
    ];
    t.equal(after.trainedLayers, 4);
    t.ok(Math.abs(after.lossFull - before.lossStage) < 1e-6, `${before.lossStage} before, ${after.lossFull} after`);
    t.ok(Math.abs(later.lossFull - before.lossFull) < 1e-6, 'open gates: the network of all copies');
    t.ok(Math.abs(later.lossFull - after.lossFull) > 1e-4);
  }
});
