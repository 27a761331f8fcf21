import t from 'tap';
import type { StateSlot, Tensor } from '../../lib/engine/index.js';
import { compose } from '../../lib/growth/index.js';
import type { InitialWeights, MethodContext, StateGrowth } from '../../lib/methods/index.js';
import { type StagedOptions, staged } from '../../lib/methods/staged.js';
import { createModel, type ParameterSpec, preset } from '../../lib/models/index.js';
import { testDevice } from '../device.js';
import {
  changed,
  compute,
  distance,
  grown,
  type Network,
  randomNetwork,
  sourceOf,
  specsOf,
  tinyConfig,
} from './networks.js';
import { layerGrowth } from './support.js';

const base = { layers: 12, totalSteps: 1000, seed: 42 };
const model = preset('bert-base');
const make = (options: Partial<StagedOptions> = {}, context: MethodContext = { model }) =>
  staged({ ...base, ...options }, context);
const half = { hidden: 384, heads: 6, ffn: 1536 };
const quarter = { hidden: 192, heads: 3, ffn: 768 };

const stateGrowth = (method: ReturnType<typeof make>, step: number): StateGrowth => {
  const plan = method.growth(step);
  if (plan?.kind !== 'state') throw new Error(`step ${step}: no growth in width`);
  return plan;
};

t.test('half the width and half the depth, then the full depth, then the full width', async (t) => {
  const method = make();
  t.same(
    [0, 249, 250, 499, 500, 999].map((step) => method.stageAt(step)),
    [
      { index: 0, trainedLayers: 6, shape: half },
      { index: 0, trainedLayers: 6, shape: half },
      { index: 1, trainedLayers: 12, shape: half },
      { index: 1, trainedLayers: 12, shape: half },
      { index: 2, trainedLayers: 12 },
      { index: 2, trainedLayers: 12 },
    ],
  );
  t.same(method.settings['stages'], [
    { trainedLayers: 6, shape: half, boundary: 0.25 },
    { trainedLayers: 12, shape: half, boundary: 0.5 },
    { trainedLayers: 12 },
  ]);
  const growths = Array.from({ length: 1000 }, (_, step) => step).filter((step) => method.growth(step));
  t.same(growths, [250, 500]);
  t.match(method.growth(250), { kind: 'layers', from: 6, to: 12 });
  t.match(method.growth(500), { kind: 'state', from: 12, to: 12 });
});

t.test('what cannot be halved stays whole', async (t) => {
  const odd = { ...model, heads: 1 };
  t.same(make({}, { model: odd }).settings['stages'], [{ trainedLayers: 6, boundary: 0.5 }, { trainedLayers: 12 }]);
  t.same(make({ layers: 3 }, { model: { ...model, layers: 3 } }).settings['stages'], [
    { trainedLayers: 3, shape: half, boundary: 0.5 },
    { trainedLayers: 3 },
  ]);
  const grouped = preset('llama-mini', { heads: 4, keyValueHeads: 1 });
  t.same(
    make({}, { model: grouped }).settings['stages'],
    [{ trainedLayers: 6, boundary: 0.5 }, { trainedLayers: 12 }],
    'half a key/value head',
  );
  t.throws(() => make({ layers: 3 }, { model: { ...odd, layers: 3 } }), {
    code: 'BAD_CONFIG',
    message: /staged\.stages: a model of 3 layers and hidden 768, heads 1, ffn 3072 cannot be halved; give stages/,
  });
});

t.test('the learning rate rises again after each growth', async (t) => {
  const factor = (method: ReturnType<typeof make>, step: number) => {
    const rate = method.plan(step).learningRate;
    return rate && 'factor' in rate ? rate.factor : undefined;
  };
  const method = make({ rewarmSteps: 4 });
  t.same(
    [0, 1, 249, 250, 251, 252, 253, 254, 499, 500, 503].map((step) => factor(method, step)),
    [undefined, undefined, undefined, 0.25, 0.5, 0.75, undefined, undefined, undefined, 0.25, undefined],
  );
  t.equal(make().settings['rewarmSteps'], 20, '2 % of the run');
  t.equal(make({ totalSteps: 100_000 }).settings['rewarmSteps'], 200, "the paper's 200 where the run is long");
  t.equal(factor(make({ rewarmSteps: 0 }), 250), undefined);
  t.same(method.plan(300), { trainedLayers: 12, depth: 12, layerMap: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] });
  t.same(method.plan(0), { trainedLayers: 6, depth: 6, layerMap: [0, 1, 2, 3, 4, 5] });
});

t.test('layers are copied with their moments, beside their originals or above them all', async (t) => {
  const stages = [{ trainedLayers: 2, boundary: 0.1 }, { trainedLayers: 4, boundary: 0.2 }, { trainedLayers: 8 }];
  for (const [depth, first, full] of [
    ['interleave', [0, 0, 1, 1], [0, 0, 0, 0, 1, 1, 1, 1]],
    ['append', [0, 1, 0, 1], [0, 1, 0, 1, 0, 1, 0, 1]],
  ] as const) {
    const method = make({ layers: 8, stages, depth }, {});
    t.same(method.evaluationMaps(0), { full, stage: [0, 1] });
    t.same(method.evaluationMaps(999).full, [0, 1, 2, 3, 4, 5, 6, 7]);
    const layers = [0, 1, 2, 3];
    for (const { from, to, moments } of layerGrowth(method, 100).copies) {
      layers[to] = layers[from] as number;
      t.equal(moments, 'copy');
    }
    t.same(layers, first);
    for (const step of [100, 200]) {
      const network = [0, 1, 2, 3, 4, 5, 6, 7];
      for (const { from, to } of layerGrowth(method, step).copies) network[to] = network[from] as number;
      const after = method.evaluationMaps(step).full;
      t.same(
        compose(network, after),
        method.evaluationMaps(step - 1).full,
        'growing leaves the full network as it was',
      );
    }
  }
});

t.test('on the engine: two doublings compute the same, with the moments of their own gradients', async (t) => {
  await using device = await testDevice();
  for (const kind of ['gpt', 'bert', 'llama']) {
    const shape = (hidden: number) => ({ hidden, heads: hidden / 2, ffn: 1.5 * hidden });
    const config = (hidden: number) =>
      tinyConfig(kind, { layers: 2, ...shape(hidden), ...(kind === 'llama' && { keyValueHeads: hidden / 4 }) });
    const stages = [
      { trainedLayers: 2, shape: shape(4), boundary: 0.1 },
      { trainedLayers: 2, shape: shape(8), boundary: 0.2 },
      { trainedLayers: 2 },
    ];
    const method = make({ layers: 2, stages }, { model: config(16) });
    const [first, second] = [stateGrowth(method, 100), stateGrowth(method, 200)];
    const specsBefore = (hidden: number) =>
      new Map(specsOf(createModel(config(hidden))).map((spec) => [spec.name, spec]));
    const [specs4, specs8] = [specsBefore(4), specsBefore(8)];
    const wider = (network: Network, to: number, change: (spec: ParameterSpec, before: Tensor) => Tensor) => {
      const before = to === 8 ? specs4 : specs8;
      const value: InitialWeights['value'] = async (spec, source) =>
        changed(device, before.get(spec.name)!, await source.read(spec.name), (tensor) => change(spec, tensor));
      return grown(config(to), value, sourceOf(network));
    };
    const twice = async (network: Network) => wider(await wider(network, 8, first.value), 16, second.value);
    const narrow = randomNetwork(config(4), 9);
    const wide = await twice(narrow);
    const before = await compute(device, narrow);
    const after = await compute(device, wide);
    t.ok(distance(after.logits, before.logits) < 2e-5, `${kind}: ${distance(after.logits, before.logits)}`);

    // As after one step, m = g and v = g²: the moments that grow must be those of the wide network's own gradient.
    const momentsAfter = async (slot: StateSlot, of: (gradient: Float32Array) => Float32Array) => {
      const values = new Map([...before.gradients].map(([name, gradient]) => [name, of(gradient)]));
      const grownBy = (plan: StateGrowth) => (spec: ParameterSpec, moment: Tensor) => plan.moment!(spec, slot, moment);
      return (await wider(await wider({ ...narrow, values }, 8, grownBy(first)), 16, grownBy(second))).values;
    };
    const ms = await momentsAfter({ name: 'm', power: 1 }, (gradient) => gradient);
    const vs = await momentsAfter({ name: 'v', power: 2 }, (gradient) => gradient.map((x) => x * x));
    const ones = new Map([...narrow.values].map(([name, value]) => [name, value.map(() => 1)]));
    const inside = (await twice({ ...narrow, values: ones })).values; // zeros outside of the diagonals
    for (const spec of specsOf(wide.model)) {
      const [m, v] = [ms.get(spec.name)!, vs.get(spec.name)!];
      const mask = inside.get(spec.name) as Float32Array;
      const gradient = (after.gradients.get(spec.name) as Float32Array).map((g, i) => (mask[i] === 0 ? 0 : g));
      const largest = (values: Float32Array) => values.reduce((max, x) => Math.max(max, Math.abs(x)), 0);
      const scale = Math.max(largest(gradient), 1e-3); // keys' biases have a gradient of 0 but for roundings
      t.ok(largest(m.map((x, i) => x - (gradient[i] as number))) < 2e-4 * scale, `${spec.name}: m`);
      t.ok(largest(v.map((x, i) => x - (gradient[i] as number) ** 2)) < 4e-4 * scale ** 2, `${spec.name}: v`);
    }
  }
});

t.test('a plan is a function of the step and settings survive JSON', async (t) => {
  const method = make();
  const again = staged(JSON.parse(JSON.stringify(method.settings)), { model });
  for (let step = 999; step >= 0; step--) {
    t.same(again.plan(step), method.plan(step));
    t.same(again.stageAt(step), method.stageAt(step));
  }
});

t.test('settings that are wrong are named', async (t) => {
  const fails = (options: Record<string, unknown>, message: RegExp, context?: MethodContext) =>
    t.throws(() => make(options as Partial<StagedOptions>, context), { code: 'BAD_CONFIG', message });
  const end = { trainedLayers: 12 };
  fails({}, /staged\.stages: the default halves the model's widths; give stages, or \{ model \}/, {});
  fails({ layers: 6 }, /staged\.layers: expected the model's 12; got 6/);
  fails({ depth: 'stack' }, /staged\.depth: .*got "stack"/);
  fails({ rewarmSteps: -1 }, /staged\.rewarmSteps/);
  fails(
    { stages: [{ trainedLayers: 6, boundary: 0.5 }] },
    /stages\[0\]\.trainedLayers: the last stage has all 12 layers/,
  );
  fails({ stages: [{ trainedLayers: 6 }, end] }, /stages\[0\]\.boundary: every stage but the last has one/);
  fails({ stages: [{ trainedLayers: 12, boundary: 0.5 }] }, /stages\[0\]\.boundary: the last stage ends with the run/);
  fails(
    {
      stages: [{ trainedLayers: 3, boundary: 0.5 }, { trainedLayers: 6, boundary: 0.5 }, end],
    },
    /stages\[1\]\.boundary: each stage needs at least one step; 0\.5 of 1000 steps is 500, and the stage begins at 500/,
  );
  fails(
    { stages: [{ trainedLayers: 6, shape: half, boundary: 0.5 }, end] },
    /stages\[1\]: .*got 6 -> 12 layers, hidden 384/,
  );
  fails(
    { stages: [{ trainedLayers: 12, shape: quarter, boundary: 0.5 }, end] },
    /stages\[1\]: .*hidden 192.* -> hidden 768/,
  );
  fails({ stages: [{ trainedLayers: 12, boundary: 0.5 }, end] }, /stages\[1\]: .*12 -> 12 layers/);
  fails(
    { stages: [{ trainedLayers: 12, shape: half, boundary: 0.5 }, end] },
    /grow into those of the finished model/,
    {},
  );
  fails(
    { stages: [{ trainedLayers: 12, shape: { hidden: 96, heads: 3, ffn: 384 }, boundary: 0.5 }, end] },
    /staged\.stages\[0\]\.shape\.heads: must be a multiple of the 2 that share a key\/value head; got 3/,
    { model: preset('llama-mini', { hidden: 192, heads: 6, keyValueHeads: 3 }) },
  );
  fails({ stages: [{ trainedLayers: 12, shape: half }] }, /stages\[0\]\.shape: the last stage has the model's widths/);
});
