import t from 'tap';
import { optimizerState, ParameterStore } from '../../lib/engine/index.js';
import type { LayerGrowth } from '../../lib/methods/index.js';
import { type ApolloOptions, apollo } from '../../lib/methods/index.js';
import { createModel, declareParameters, initialValue, withDefaults } from '../../lib/models/index.js';
import { grow } from '../../lib/train/growth.js';
import { stageNetwork } from '../../lib/train/stage.js';
import { layerGrowth } from '../methods/support.js';
import { adamwMoments, momentsOf } from '../moments.js';
import { openTinyDevice } from './tiny.js';

const model = createModel(
  withDefaults({ kind: 'gpt', layers: 12, hidden: 8, heads: 2, vocabSize: 5, maxPositions: 4 }),
);
const device = await openTinyDevice();
t.teardown(() => device.close());

/** A store of 3 layers, every value, moment and count of layer j is a function of j. */
async function threeLayers(): Promise<ParameterStore> {
  const store = new ParameterStore(device, { precision: 'f32' });
  store.keepState(optimizerState('adamw'));
  for (const { name, shape, layer = 9 } of declareParameters(store, model, 3)) {
    const filled = (value: number) => new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value);
    await store.write(name, filled(layer + 1));
    await store.writeMoments(
      name,
      momentsOf({ m: filled(10 * (layer + 1)), v: filled(100 * (layer + 1)), count: 1000 + layer }),
    );
  }
  return store;
}

/** [value, m, v, count] of each layer, all its parameters being alike. */
async function layersOf(store: ParameterStore, layers: number): Promise<number[][]> {
  const rows: number[][] = [];
  for (let layer = 0; layer < layers; layer++) {
    const seen = new Set<string>();
    for (const { name } of model.parameters(layers).filter((spec) => spec.layer === layer)) {
      const { m, v, count } = adamwMoments(await store.moments(name));
      for (const values of [await store.read(name), m, v]) {
        if (new Set(values).size !== 1) throw new Error(`${name} is not uniform`);
      }
      seen.add(JSON.stringify([(await store.read(name))[0], m[0], v[0], count]));
    }
    if (seen.size !== 1) throw new Error(`the parameters of layer ${layer} differ: ${[...seen]}`);
    rows.push(JSON.parse([...seen][0] as string));
  }
  return rows;
}

/** Carries a growth by copies out on the model's store. */
async function growStore(store: ParameterStore, plan: LayerGrowth, seed: number): Promise<void> {
  const network = (trainedLayers: number) => stageNetwork(model, { index: 0, trainedLayers });
  const batch = () => Promise.reject(new Error('nothing is calibrated here'));
  await grow(plan, { store, before: network(plan.from), after: network(plan.to), seed, batch });
}

async function grown(moments: NonNullable<ApolloOptions['moments']>): Promise<{ rows: number[][]; shared: unknown }> {
  const store = await threeLayers();
  const plan = layerGrowth(apollo({ layers: 12, totalSteps: 1000, seed: 1, moments }), 100);
  await growStore(store, plan, 1);
  const rows = await layersOf(store, 6);
  const shared = model.parameters(0)[0]?.name as string;
  const { m, v, count } = adamwMoments(await store.moments(shared));
  const result = { rows, shared: [m[0], v[0], count] };
  store.dispose();
  return result;
}

t.test('AdamW state after a switch from 3 to 6 layers, by rule', async (t) => {
  // Map 0 0 1 1 2 2: the weights (value = source + 1) are the same for every rule.
  const copied = await grown('copy');
  t.same(
    copied.rows,
    [
      [1, 10, 100, 1000],
      [1, 10, 100, 1000],
      [2, 20, 200, 1001],
      [2, 20, 200, 1001],
      [3, 30, 300, 1002],
      [3, 30, 300, 1002],
    ],
    'copy: moments and counts go with the weights',
  );
  t.same(copied.shared, [100, 1000, 1009], 'what all layers share is untouched');

  t.same(
    (await grown('release')).rows,
    [
      [1, 10, 100, 1000],
      [1, 20, 200, 1001],
      [2, 30, 300, 1002],
      [2, 0, 0, 0],
      [3, 0, 0, 0],
      [3, 0, 0, 0],
    ],
    'release: old layers keep their old moments under new weights, new layers start fresh',
  );

  const reset = await grown('reset');
  t.same(
    reset.rows.map((row) => row.slice(1)),
    new Array(6).fill([0, 0, 0]),
    'reset: all layers start fresh',
  );
  t.same(
    reset.rows.map((row) => row[0]),
    [1, 1, 2, 2, 3, 3],
  );
  t.same(reset.shared, [100, 1000, 1009]);

  const r = 7.135411 / 6 / (4.225639 / 3);
  const scaled = await grown('copyScaled');
  scaled.rows.forEach(([value, m, v, count], layer) => {
    const source = Math.floor(layer / 2) + 1;
    t.equal(value, source);
    t.ok(Math.abs((m as number) - 10 * source * r) < 1e-4, `m of layer ${layer}: ${m}`);
    t.ok(Math.abs((v as number) - 100 * source * r * r) < 1e-3, `v of layer ${layer}: ${v}`);
    t.equal(count, 999 + source);
  });
});

t.test('new layers that no copy fills get their initial values', async (t) => {
  const store = await threeLayers();
  await growStore(store, { kind: 'layers', from: 3, to: 4, copies: [] }, 7);
  for (const spec of model.parameters(4).filter(({ layer }) => layer === 3)) {
    t.same(await store.read(spec.name), initialValue(spec, 7), spec.name);
  }
  t.same(
    (await layersOf(store, 3)).map((row) => row[0]),
    [1, 2, 3],
    'the old ones stay',
  );
  store.dispose();
});

t.test('a copy between layers that do not exist is refused', async (t) => {
  const store = await threeLayers();
  await t.rejects(
    growStore(store, { kind: 'layers', from: 3, to: 4, copies: [{ from: 9, to: 3, moments: 'copy' }] }, 1),
    {
      code: 'BAD_ARGUMENT',
      message: /copies layer 9 to 3; they have 0 and 12 parameters/,
    },
  );
  store.dispose();
});

t.test("Muon's momentum is copied, scaled and cleared by its declaration, as m is", async (t) => {
  const matrix = 'ffn.up.weight';
  const bias = 'ffn.up.bias';
  for (const [moments, wanted] of [
    ['copy', [10, 10, 20, 20, 30, 30]],
    ['release', [10, 20, 30, 0, 0, 0]],
    ['reset', [0, 0, 0, 0, 0, 0]],
  ] as const) {
    const store = new ParameterStore(device, { precision: 'f32' });
    store.keepState(optimizerState('muon'));
    for (const { name, shape, layer = 9 } of declareParameters(store, model, 3)) {
      const filled = (value: number) => new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value);
      const slots = store.slots(name).map((slot, i) => ({ ...slot, values: filled(10 ** (i + 1) * (layer + 1)) }));
      await store.writeMoments(name, { slots, count: 7 });
    }
    await growStore(store, layerGrowth(apollo({ layers: 12, totalSteps: 1000, seed: 1, moments }), 100), 1);
    const first = async (parameter: string) =>
      Promise.all(
        [0, 1, 2, 3, 4, 5].map(async (layer) => {
          const { slots } = await store.moments(`layer.${layer}.${parameter}`);
          return [slots[0]!.name, slots[0]!.values[0], slots.length];
        }),
      );
    t.same(
      await first(matrix),
      wanted.map((value) => ['momentum', value, 1]),
      moments,
    );
    t.same(
      await first(bias),
      wanted.map((value) => ['m', value, 2]),
      `${moments}: what AdamW updates`,
    );
    store.dispose();
  }
});
