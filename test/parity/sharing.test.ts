/** What progressive training rests on: shared layers sum their gradients, and growing changes no depth's loss. */
import t from 'tap';
import { accumulateGradients, ParameterStore } from '../../lib/engine/index.js';
import { interpolate, stackModulo } from '../../lib/growth/index.js';
import { createModel, initialiseParameters, type LanguageModel, withDefaults } from '../../lib/models/index.js';
import { testDevice } from '../device.js';
import { plainMap, relativeError, shiftedLabels, traceModel } from './golden.js';

const [batch, seq, vocabSize] = [2, 8, 50];
// Many tiny programs: one thread is faster, above all on a busy machine.
const device = await testDevice({ threads: 1 });
t.teardown(() => device.close());

const sizes = { layers: 12, hidden: 32, heads: 2, ffn: 64, vocabSize, maxPositions: seq, initStd: 0.1 };
const models = {
  bert: createModel(withDefaults({ kind: 'bert', ...sizes })),
  gpt: createModel(withDefaults({ kind: 'gpt', ...sizes })),
  llama: createModel(withDefaults({ kind: 'llama', ...sizes, keyValueHeads: 1, dropout: 0.1 })),
};
const shape = { batch, seq, targets: 4, padding: false };
const tokens = Int32Array.from({ length: batch * seq }, (_, i) => (7 * i * i + 3 * i + 1) % vocabSize);
const next = { tokens, labels: shiftedLabels(tokens, seq) };
const inputs = {
  bert: { tokens, positions: [1, 5, 9, 14], labels: [3, 17, 40, 8] },
  gpt: next,
  llama: next,
};

async function freshStore(model: LanguageModel): Promise<ParameterStore> {
  const store = new ParameterStore(device, { precision: 'f32' });
  await initialiseParameters(store, model, model.config.layers, 5);
  return store;
}

async function copyLayer(store: ParameterStore, model: LanguageModel, from: number, to: number): Promise<void> {
  for (const { name, layer } of model.parameters(model.config.layers)) {
    if (layer === from) await store.copy(name, name.replace(`layer.${from}.`, `layer.${to}.`), { moments: 'keep' });
  }
}

for (const kind of ['bert', 'gpt', 'llama'] as const) {
  const model = models[kind];

  t.test(`${kind}: the gradient of a shared layer is the sum over its uses`, async (t) => {
    using store = await freshStore(model);
    const run = async (layerMap: number[]): Promise<Map<string, Float32Array>> => {
      await store.zeroGradients();
      const { graph, trace } = traceModel(model, store, shape, { layerMap });
      const names = accumulateGradients(trace.loss);
      await (await device.compile(graph, { store })).run({ ...inputs[kind], rng: [1, 2, 3, 4] });
      const gradients = new Map<string, Float32Array>();
      for (const name of names) gradients.set(name, await store.gradient(name));
      return gradients;
    };
    // Layers 2 and 4 become copies of layer 0, so that 0 1 2 3 4 computes what 0 1 0 3 0 computes.
    await copyLayer(store, model, 0, 2);
    await copyLayer(store, model, 0, 4);
    const separate = await run([0, 1, 2, 3, 4]);
    const shared = await run([0, 1, 0, 3, 0]);
    for (const [name, gradient] of shared) {
      const uses = name.startsWith('layer.0.') ? [0, 2, 4] : [undefined];
      const parts = uses.map((use) =>
        separate.get(use === undefined ? name : name.replace('layer.0.', `layer.${use}.`)),
      );
      const sum = gradient.map((_, i) => parts.reduce((total, part) => total + (part?.[i] as number), 0));
      const error = relativeError(gradient, sum);
      t.ok(error < 1e-5, `${name}: relative error ${error.toExponential(1)}`);
    }
    t.notOk(
      [...shared.keys()].some((name) => /^layer\.[24]\./.test(name)),
      'layers outside the map get none',
    );
  });

  t.test(`${kind}: growing by interpolation leaves the loss of every depth as it was, bit for bit`, async (t) => {
    using store = await freshStore(model);
    const lossAt = async (
      trainedLayers: number,
      depth: number,
      training: boolean,
      map = interpolate,
    ): Promise<number> => {
      const { graph } = traceModel(model, store, shape, { layerMap: map(trainedLayers, depth), training });
      const program = await device.compile(graph, { store });
      const rng = training ? { rng: [9, 0, 1, 0] } : {};
      const { outputs } = await program.run({ ...inputs[kind], ...rng });
      program.dispose();
      return outputs.loss?.[0] as number;
    };
    for (const [from, to] of [
      [1, 3],
      [3, 6],
      [6, 12],
    ] as const) {
      const depths = Array.from({ length: 12 - to + 1 }, (_, i) => to + i);
      const before: number[][] = [];
      for (const depth of depths) before.push([await lossAt(from, depth, false), await lossAt(from, depth, true)]);
      const map = interpolate(from, to);
      for (let layer = to - 1; layer >= 0; layer--) await copyLayer(store, model, map[layer] as number, layer);
      const after: number[][] = [];
      for (const depth of depths) after.push([await lossAt(to, depth, false), await lossAt(to, depth, true)]);
      t.same(after, before, `${from} -> ${to} layers at depths ${to} to 12, without and with dropout`);
      t.ok(new Set(before.flat()).size > depths.length, 'depths have different losses');
      // The next growth starts from layers that have been trained apart, so they must differ again.
      for (const { name, layer, role, shape: extents } of model.parameters(to)) {
        if (layer === undefined || role !== 'matrix') continue;
        const values = await store.read(name);
        await store.write(
          name,
          values.map((value, i) => value * (1 + 0.05 * Math.sin(layer + i * (extents[0] as number)))),
        );
      }
    }
    const other = await lossAt(3, 8, false, stackModulo);
    t.not(other, await lossAt(3, 8, false), 'another map is another network');
  });
}

t.test('the plain map is every layer once', async (t) => {
  t.same(plainMap(models.gpt), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
});
