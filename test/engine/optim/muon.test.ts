import t from 'tap';
import { Device } from '../../../lib/engine/device.js';
import { Graph } from '../../../lib/engine/graph.js';
import {
  createOptimizer,
  Muon,
  type MuonOptions,
  optimizerState,
  type StepOptions,
  updateFlops,
} from '../../../lib/engine/optim/index.js';
import type { ParameterDeclaration } from '../../../lib/engine/parameters.js';
import { createModel, declarationOf, preset } from '../../../lib/models/index.js';
import { relativeError } from '../../cases/compare.js';
import { uniforms } from '../../cases/trace.js';
import { testDevice } from '../../device.js';
import { referenceDevice } from '../../reference/device.js';
import { orthogonalised } from '../../reference/optimizer.js';
import { trained } from './trained.js';

const hidden = (name: string, shape: [number, number], matrices: number[] = [shape[1]]): ParameterDeclaration => ({
  name,
  shape,
  workingCopy: true,
  decay: true,
  matrices,
});
/** Wide, tall and square, two of one shape, fused ones, rows that are no whole packs, one row; and what AdamW updates. */
const specs: readonly ParameterDeclaration[] = [
  hidden('wide', [12, 40]),
  hidden('tall', [40, 12]),
  hidden('square', [16, 16]),
  hidden('again', [16, 16]),
  hidden('fused', [16, 48], [16, 16, 16]),
  hidden('grouped', [9, 19], [9, 5, 5]),
  hidden('row', [1, 7]),
  { name: 'table', shape: [20, 8], workingCopy: true, decay: true },
  { name: 'bias', shape: [17], workingCopy: false, decay: false },
];
const names = specs.map(({ name }) => name);

const noise = ({ shape }: ParameterDeclaration, seed: number, scale = 1) =>
  Float32Array.from(
    uniforms(
      shape.reduce((a, b) => a * b),
      seed,
    ),
    (u) => scale * (u - 0.5),
  );
const each = (of: (spec: ParameterDeclaration, index: number) => Float32Array) =>
  Object.fromEntries(specs.map((spec, i) => [spec.name, of(spec, i)]));
const starts = each((spec, i) => noise(spec, i + 1));
const gradients = (step: number, scale = 1) => each((spec, i) => noise(spec, 20 * (step + 1) + i, scale));

/** Steps with noise as gradients; contents by name afterwards. */
async function run(
  device: Device,
  options: MuonOptions,
  {
    steps = 4,
    precision = 'f32',
    scales = [1, 0, 0.01, 4],
    ...step
  }: {
    steps?: number;
    precision?: 'f32' | 'bf16';
    scales?: number[];
  } & Partial<StepOptions> = {},
) {
  const { store, feed } = await trained(device, specs, starts, precision);
  const muon = new Muon(store, options);
  const norms: number[] = [];
  for (let k = 0; k < steps; k++) {
    await feed(gradients(k, scales[k]));
    norms.push((await muon.step(names, { learningRate: 0.02 / (k + 1), gradScale: 0.5, ...step })).gradNorm);
  }
  const contents = new Map<string, { value: Float32Array; slots: Float32Array[]; count: number }>();
  for (const name of names) {
    const { slots, count } = await store.moments(name);
    contents.set(name, { value: await store.read(name), slots: slots.map(({ values }) => values), count });
  }
  const gradient = await store.gradient('fused');
  store.dispose();
  return { norms, contents, gradient };
}

t.test('four updates agree with float64, for each option', async (t) => {
  await using device = await testDevice({ threads: 2 });
  const reference = new Device(referenceDevice());
  for (const options of [
    { weightDecay: 0.1, maxNorm: 1 },
    { weightDecay: 0, maxNorm: 0, adjust: 'original', nesterov: false, momentum: 0.8 },
    { iterations: 2, rateFactor: 3 },
  ] satisfies MuonOptions[]) {
    const [native, wanted] = [await run(device, options), await run(reference, options)];
    t.ok(relativeError(native.norms, wanted.norms) < 1e-6);
    for (const name of names) {
      const [found, expected] = [native.contents.get(name)!, wanted.contents.get(name)!];
      t.ok(relativeError(found.value, expected.value) < 1e-5, `${name}: value`);
      t.equal(found.slots.length, expected.slots.length);
      found.slots.forEach((slot, i) => {
        t.ok(relativeError(slot, expected.slots[i]!) < 1e-5, `${name}: slot ${i}`);
      });
      t.equal(found.count, expected.count, `${name}: count`);
    }
    t.ok(
      native.gradient.every((g) => g === 0),
      'gradients are zeroed by the step',
    );
  }
});

/** value after the first step without decay, as the direction it moved in, row by row. */
const direction = (before: Float32Array, after: Float32Array, columns: number) =>
  Array.from({ length: before.length / columns }, (_, row) =>
    Float64Array.from({ length: columns }, (_, column) => {
      const i = row * columns + column;
      return before[i]! - after[i]!;
    }),
  );

t.test('fused queries, keys and values are orthogonalised one by one', async (t) => {
  await using device = await testDevice({ threads: 1 });
  const options: MuonOptions = { weightDecay: 0, maxNorm: 0, adjust: 'original' };
  const width = 16;
  const fused = hidden('fused', [width, 3 * width], [width, width, width]);
  const apart = ['q', 'k', 'v'].map((name) => hidden(name, [width, width]));
  const part = (values: Float32Array, index: number) =>
    Float32Array.from({ length: width * width }, (_, i) => {
      return values[Math.floor(i / width) * 3 * width + index * width + (i % width)]!;
    });
  const start = noise(fused, 1);
  const gradient = noise(fused, 2);
  const one = await trained(device, [fused], { fused: start });
  await one.feed({ fused: gradient });
  await new Muon(one.store, options).step(['fused'], { learningRate: 1 });
  const three = await trained(device, apart, Object.fromEntries(apart.map(({ name }, i) => [name, part(start, i)])));
  await three.feed(Object.fromEntries(apart.map(({ name }, i) => [name, part(gradient, i)])));
  await new Muon(three.store, options).step(['q', 'k', 'v'], { learningRate: 1 });
  const value = await one.store.read('fused');
  for (const [i, { name }] of apart.entries()) {
    t.strictSame(part(value, i), await three.store.read(name), `${name}: the bits of a matrix of its own`);
  }
  const rows = (values: Float32Array, columns: number) =>
    Array.from({ length: width }, (_, row) => Float64Array.from(values.subarray(row * columns, (row + 1) * columns)));
  const moved = direction(start, value, 3 * width).map((row) => Float64Array.from(row));
  const whole = orthogonalised(rows(gradient, 3 * width), 5);
  t.ok(
    relativeError(
      moved.flatMap((row) => [...row]),
      whole.flatMap((row) => [...row]),
    ) > 0.1,
    'not as one matrix',
  );
});

t.test('an update has singular values near 1 for every gradient', async (t) => {
  await using device = await testDevice({ threads: 1 });
  const spec = hidden('wide', [8, 32]);
  const start = noise(spec, 1);
  for (const scale of [1e-6, 1, 1e6]) {
    const { store, feed } = await trained(device, [spec], { wide: start });
    await feed({ wide: noise(spec, 2, scale) });
    await new Muon(store, { weightDecay: 0, maxNorm: 0, adjust: 'original' }).step(['wide'], { learningRate: 0.5 });
    const moved = direction(start, await store.read('wide'), 32);
    // The quintic's fixed interval is about [0.7, 1.2] (Jordan); original: sqrt(32 / 8) = 2 times the rate.
    const squares = moved.map((row) => row.reduce((sum, x) => sum + x * x, 0));
    t.ok(
      squares.every((square) => square > 0.4 && square < 1.5),
      `${scale}: ${squares}`,
    );
  }
});

t.test('without a gradient nothing moves, and nothing is NaN', async (t) => {
  await using device = await testDevice({ threads: 1 });
  const { contents } = await run(device, { weightDecay: 0 }, { scales: [0, 0], steps: 2 });
  for (const name of names) t.strictSame(contents.get(name)!.value, starts[name], name);
  const decayed = await run(device, { weightDecay: 0.5 }, { scales: [0], steps: 1 });
  const wanted = starts['wide']!.map((x) => x * (1 - 0.02 * 0.5));
  t.ok(relativeError(decayed.contents.get('wide')!.value, wanted) < 1e-6, 'but weights decay');
});

t.test('a step with an infinite gradient is skipped and leaves no trace', async (t) => {
  await using device = await testDevice({ threads: 1 });
  const { store, feed } = await trained(device, specs, starts);
  const muon = new Muon(store);
  const contents = () => Promise.all(names.flatMap((name) => [store.read(name), store.moments(name)]));
  await feed(gradients(0));
  t.match(await muon.step(names, { learningRate: 0.1 }), { applied: true });
  const before = await contents();
  await feed({ ...gradients(1), bias: noise(specs.at(-1)!, 1, Infinity) });
  t.match(await muon.step(names, { learningRate: 0.1 }), { applied: false });
  t.strictSame(await contents(), before);
  t.ok((await store.gradient('fused')).every((g) => g === 0));
});

t.test('inactive matrices are left bit by bit, and change no bit of those beside them', async (t) => {
  await using device = await testDevice({ threads: 2 });
  const plain = await run(device, { maxNorm: 0 }, { precision: 'bf16' });
  const resting = new Set(['again', 'fused', 'tall']);
  const some = await run(device, { maxNorm: 0 }, { precision: 'bf16', active: (name) => !resting.has(name) });
  for (const name of names) {
    const found = some.contents.get(name)!;
    if (!resting.has(name)) {
      t.strictSame(found, plain.contents.get(name), name);
      continue;
    }
    t.strictSame(found.value, starts[name], `${name}: value`);
    t.ok(
      found.slots.every((slot) => slot.every((x) => x === 0)),
      `${name}: momentum`,
    );
  }
  t.ok(some.norms[0]! < plain.norms[0]!, 'their gradients do not count');
  t.ok(some.gradient.every((g) => g === 0));
  const still = await run(device, {}, { rateFactor: (name) => (name === 'wide' ? 0 : 1) });
  t.strictSame(still.contents.get('wide')!.value, starts['wide'], 'a rate factor of 0');
  t.ok(still.contents.get('wide')!.slots[0]!.some((x) => x !== 0));
});

t.test('bf16 products stay near f32, and the working copy is the rounded value', async (t) => {
  await using device = await testDevice({ threads: 1 });
  const [exact, rounded] = [
    await run(device, { weightDecay: 0 }, { steps: 1 }),
    await run(device, { weightDecay: 0, precision: 'bf16' }, { steps: 1 }),
  ];
  for (const { name, matrices } of specs) {
    const moved = [exact, rounded].map(({ contents }) =>
      contents.get(name)!.value.map((x, i) => x - starts[name]![i]!),
    ) as [Float32Array, Float32Array];
    const error = relativeError(moved[1], moved[0]);
    // The largest error of an element; test/parity/muon.test.ts holds the whole against PyTorch's own error.
    if (matrices) t.ok(error > 0 && error < 2 ** -3, `${name}: ${error}`);
    else t.equal(error, 0, `${name}: AdamW`);
  }
  const { store, feed } = await trained(device, specs, starts, 'bf16');
  await feed(gradients(0));
  await new Muon(store).step(names, { learningRate: 0.1 });
  const graph = new Graph();
  graph.output('copy', graph.parameter('fused', [16, 48], 'bf16'));
  const { outputs } = await (await device.compile(graph, { store })).run();
  const value = await store.read('fused');
  const worst = Math.max(...value.map((v, i) => Math.abs(outputs['copy']![i]! - v) / Math.abs(v)));
  t.ok(worst <= 2 ** -8 && worst > 0, `rounded to 8 bits: ${worst}`);
});

t.test('momentum for the matrices of layers, m and v for all else, by the model', (t) => {
  const model = createModel(preset('bert-nano'));
  const state = optimizerState('muon');
  for (const spec of model.parameters(2)) {
    const { slots, counted } = state.of(declarationOf(spec));
    const inLayer = spec.layer !== undefined && spec.shape.length === 2;
    t.same(
      slots.map(({ name, power }) => [name, power]),
      inLayer
        ? [['momentum', 1]]
        : [
            ['m', 1],
            ['v', 2],
          ],
      spec.name,
    );
    t.equal(counted, !inLayer);
  }
  t.end();
});

t.test('matrices side by side in a tensor of a layer are updated separately', (t) => {
  const matricesOf = (name: string, changes: object = {}) => {
    const declarations = createModel(preset(name, changes)).parameters(1).map(declarationOf);
    const fused = declarations.filter(({ matrices }) => matrices);
    return Object.fromEntries(fused.map(({ name, matrices }) => [name.replace('layer.0.', ''), matrices]));
  };
  const square = {
    'attention.qkv.weight': [128, 128, 128],
    'attention.output.weight': [128],
    'ffn.down.weight': [128],
  };
  for (const name of ['gpt-nano', 'bert-nano']) t.same(matricesOf(name), { ...square, 'ffn.up.weight': [512] }, name);
  t.same(matricesOf('llama-nano', { attentionBias: 'all', tied: false }), {
    'attention.qkv.weight': [128, 64, 64],
    'attention.output.weight': [128],
    'ffn.up.weight': [384, 384],
    'ffn.down.weight': [128],
  });
  t.end();
});

t.test('FLOPs of the iterations', (t) => {
  // [m, n] with m <= n: 2 m^2 n for the Gram matrix, 2 m^3 for its square, 2 m^2 n for the product with X.
  t.equal(updateFlops('muon', hidden('w', [4, 10]), {}), 5 * (2 * 160 + 2 * 64 + 2 * 160));
  t.equal(updateFlops('muon', hidden('w', [10, 4]), { iterations: 1 }), 2 * 160 + 2 * 64 + 2 * 160);
  t.equal(updateFlops('muon', hidden('qkv', [4, 12], [4, 4, 4]), {}), 3 * 5 * 6 * 64);
  t.equal(updateFlops('muon', { shape: [4, 10] }, {}), 0);
  t.equal(updateFlops('adamw', hidden('w', [4, 10]), {}), 0);
  t.end();
});

t.test('arguments are checked', async (t) => {
  await using device = await testDevice({ threads: 1 });
  const { store } = await trained(device, specs, starts);
  const bad = { code: 'BAD_ARGUMENT' };
  for (const options of [
    { momentum: 1 },
    { iterations: 0 },
    { iterations: 1.5 },
    { precision: 'f16' as 'f32' },
    { adjust: 'none' as 'original' },
    { rateFactor: -1 },
    { beta1: 1 },
  ]) {
    t.throws(() => new Muon(store, options), bad, JSON.stringify(options));
  }
  createOptimizer('muon', store, {});
  t.throws(() => createOptimizer('adamw', store, {}), { ...bad, message: /state of muon, not of adamw/ });
  t.throws(() => createOptimizer('sgd' as 'adamw', store, {}), { ...bad, message: /known: adamw, muon/ });
});
