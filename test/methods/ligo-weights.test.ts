import t, { type Test } from 'tap';
import { accumulateGradients, gradients } from '../../lib/engine/autodiff.js';
import { AdamW, Graph, graphFlops, ParameterStore, size } from '../../lib/engine/index.js';
import { isOperator } from '../../lib/methods/ligo-weights.js';
import { declareSpecs, modelWeights, storedWeights } from '../../lib/models/index.js';
import { relativeError } from '../cases/compare.js';
import { testDevice } from '../device.js';
import {
  batchOf,
  defaultInit,
  initialState,
  type Kind,
  largeConfig,
  product,
  Reference,
  run64,
  smallSizes,
  type Tiny,
  tiny,
  toMatrix,
  traced,
  trainedState,
  transpose,
  type Values,
} from './ligo-support.js';

const device = await testDevice({ threads: 1 });
t.teardown(() => device.close());

const kinds = ['gpt', 'bert', 'llama'] as const;
const { hidden, heads, ffn } = smallSizes;

/** The cases of growth: both, as deep as before, in depth alone, in the feed-forward part alone. */
const cases: readonly { name: string; make: (kind: Kind) => Tiny }[] = [
  { name: 'wider and deeper', make: (kind) => tiny(largeConfig(kind)) },
  { name: 'wider', make: (kind) => tiny(largeConfig(kind, { layers: 2 })) },
  { name: 'deeper', make: (kind) => tiny(largeConfig(kind, { hidden, heads, ffn })) },
  { name: 'feed-forward', make: (kind) => tiny(largeConfig(kind, { hidden, heads })) },
  { name: 'out of one layer', make: (kind) => tiny(largeConfig(kind), { ...smallSizes, layers: 1 }) },
];

function close(t: Test, actual: ArrayLike<number>, expected: ArrayLike<number>, limit: number, what: string): void {
  const error = relativeError(actual, expected);
  t.ok(error <= limit, `${what}: error ${error.toExponential(1)}`);
}

/** Values of all weights in float64, and the graph's FLOPs. */
function weights64({ model, ligo }: Tiny, state: Values): { values: Values; flops: number } {
  const graph = new Graph();
  const weights = ligo.weights(graph, storedWeights(graph, ligo.parameters, 'f32'));
  const specs = model.parameters(model.config.layers);
  for (const { name, shape, role } of specs) graph.output(name, weights(name, shape, role));
  return { values: new Map(Object.entries(run64(graph, state, {}).outputs)), flops: graphFlops(graph) };
}

async function storeOf({ ligo }: Tiny, state: Values, precision: 'f32' | 'bf16' = 'f32'): Promise<ParameterStore> {
  const store = new ParameterStore(device, { precision });
  declareSpecs(store, ligo.parameters);
  for (const [name, values] of state) await store.write(name, Float32Array.from(values));
  return store;
}

for (const { name, make } of cases) {
  for (const kind of kinds) {
    t.test(`${kind}, ${name}: every weight is what the paper's formulas give`, async (t) => {
      const network = make(kind);
      const state = await trainedState(network);
      const reference = new Reference(network, state);
      const { values, flops } = weights64(network, state);
      for (const spec of network.model.parameters(network.model.config.layers)) {
        close(t, values.get(spec.name)!, reference.weight(spec), 1e-12, spec.name);
      }
      t.equal(network.ligo.flops, flops, 'FLOPs by formula are those of the graph');
    });
  }
}

t.test('what the store holds: a frozen small model and operators of the sizes of the table', async (t) => {
  const { ligo } = tiny(largeConfig('gpt'));
  const shapes = new Map(ligo.parameters.map(({ name, shape }) => [name, shape.join()]));
  t.equal(shapes.get('operator.embeddings.width'), '2,4');
  for (const layer of [0, 1, 2]) {
    for (const module of ['attention.query', 'attention.key', 'attention.value']) {
      t.equal(shapes.get(`operator.layer.${layer}.${module}.width`), '2,4');
    }
    t.equal(shapes.get(`operator.layer.${layer}.ffn.up.width`), '5,6');
  }
  const operators = [...shapes.keys()].filter(isOperator);
  // Per layer 8 modules with depth weights for weight and bias, and 4 width operators; one for the residual stream.
  t.equal(operators.length, 3 * (16 + 4) + 1);
  t.equal(shapes.get('small.attention.query.weight'), '2,4,4');
  t.equal(shapes.get('small.ffn.down.bias'), '2,4');
  t.equal(shapes.get('small.embeddings.word'), '7,4');
  const smallElements = ligo.parameters
    .filter(({ name }) => !isOperator(name))
    .reduce((n, spec) => n + size(spec.shape), 0);
  // 7*4 + 4*4 embeddings, 2 layers of 4(16+4) + (24+6) + (24+4) + 16 = 154, final norm 8
  t.equal(smallElements, 28 + 16 + 2 * 154 + 8);
  t.notOk(
    [...tiny(largeConfig('bert', { hidden, heads, ffn })).ligo.parameters].some(({ name }) => name.endsWith('.width')),
    'no width operators where nothing grows in width',
  );
});

t.test('a head that is not tied is widened as the word table', async (t) => {
  const network = tiny({ ...largeConfig('gpt'), tied: false });
  const state = new Map(await trainedState(network));
  state.set('small.head.output', state.get('small.embeddings.word')!);
  const { values } = weights64(network, state);
  t.same(values.get('head.output'), values.get('embeddings.word'));
});

t.test('values at the beginning', async (t) => {
  const network = tiny(largeConfig('bert'));
  const state = await initialState(network);
  for (const [name, values] of state) {
    if (!isOperator(name)) continue;
    const columns = name.endsWith('.depth') ? 2 : name.includes('ffn.up.width') ? 6 : 4;
    for (const row of toMatrix(values, columns)) t.ok(Math.abs(row.reduce((a, b) => a + b) - 1) < 1e-6, name);
  }
  const text = (values: Values) => JSON.stringify([...values].map(([name, x]) => [name, [...x]]));
  const again = tiny(largeConfig('bert'));
  t.equal(text(await initialState(again)), text(state), 'a function of the seed');
  const other = tiny(largeConfig('bert'), smallSizes, { ...defaultInit, seed: 4 });
  t.not(text(await initialState(other)), text(state));
  const distinct = new Set([...state].filter(([name]) => name.endsWith('.width')).map(([, values]) => values.join()));
  t.equal(distinct.size, 13, 'operators draw different numbers');
  await t.rejects(network.ligo.initial({ ...network.ligo.parameters[0]!, name: 'embeddings.word' }, network.source), {
    code: 'INTERNAL',
  });
});

t.test('stacking and selecting units begin with copies', async (t) => {
  const init = { ...defaultInit, width: 'sel', depth: 'stackbert' } as const;
  const network = tiny(largeConfig('gpt'), smallSizes, init);
  const { values } = weights64(network, await initialState(network));
  const up = values.get('layer.2.ffn.up.bias')!;
  const old = network.trained.get('layer.0.ffn.up.bias')!;
  t.same([...up.slice(0, 6)], [...old], 'layer 2 of 3 is small layer 0');
  t.ok([...up].every((x) => old.includes(x)));
  // Interpolation without growth in width: each layer is small layer floor(l L1 / L2).
  const deeper = tiny(largeConfig('bert', { layers: 4, hidden, heads, ffn }), smallSizes, {
    ...init,
    depth: 'interpolate',
  });
  const grown = weights64(deeper, await initialState(deeper)).values;
  for (const [layer, source] of [0, 0, 1, 1].entries()) {
    for (const part of ['attention.qkv.weight', 'ffn.down.weight', 'attention.norm.bias']) {
      t.same(grown.get(`layer.${layer}.${part}`), deeper.trained.get(`layer.${source}.${part}`));
    }
  }
});

for (const kind of kinds) {
  t.test(`${kind}: gradients of the operators are slopes of the loss (float64)`, async (t) => {
    const network = tiny(largeConfig(kind));
    const state = await trainedState(network);
    const feeds = batchOf(kind);
    const { graph, trace } = traced(network);
    const names = accumulateGradients(trace.loss, { trainable: isOperator });
    const operators = [...state.keys()].filter(isOperator);
    // A key's bias adds the same to all scores of a query: its gradient is zero, not absent.
    t.same([...names].sort(), [...operators].sort());
    const { gradients: found } = run64(graph, state, feeds);
    t.same([...found.keys()].sort(), [...operators].sort(), 'frozen parameters get none');

    const forward = traced(network).graph;
    const lossAt = (name: string, index: number, delta: number): number => {
      const moved = state.get(name)!.slice();
      moved[index]! += delta;
      return run64(forward, new Map([...state, [name, moved]]), feeds).outputs.loss![0]!;
    };
    let size = 0;
    for (const values of found.values()) size = Math.max(size, ...values.map(Math.abs));
    const step = 1e-5;
    for (const [at, name] of operators.entries()) {
      const index = (7 * at) % state.get(name)!.length;
      const slope = (lossAt(name, index, step) - lossAt(name, index, -step)) / (2 * step);
      const error = Math.abs(found.get(name)![index]! - slope);
      t.ok(
        error <= 1e-6 * Math.abs(slope) + 1e-8 * size,
        `${name}[${index}]: ${found.get(name)![index]}, slope ${slope}`,
      );
    }
  });

  t.test(`${kind}: gradients by formula`, async (t) => {
    const network = tiny(largeConfig(kind));
    const state = await trainedState(network);
    const reference = new Reference(network, state);
    const { graph, trace, weights } = traced(network);
    accumulateGradients(trace.loss, { trainable: isOperator });
    const matrix = (name: string) =>
      weights(name, network.model.parameters(3).find((s) => s.name === name)!.shape, 'matrix');
    const wanted = ['layer.1.ffn.down.weight', 'layer.2.attention.output.weight', 'layer.1.attention.qkv.weight'];
    const taken = gradients(trace.loss, wanted.map(matrix));
    wanted.forEach((name, i) => graph.output(name, taken[i]!));
    graph.output('bias', gradients(trace.loss, [weights('layer.1.attention.qkv.bias', [18], 'vector')])[0]!);
    const { outputs, gradients: found } = run64(graph, state, batchOf(kind));

    // dw[l, j] = <G_l, W'_j>
    for (const [layer, module] of [
      [1, 'ffn.down'],
      [2, 'attention.output'],
    ] as const) {
      const g = transpose(toMatrix(outputs[`layer.${layer}.${module}.weight`]!, 6));
      const expected = [0, 1].map((j) => {
        const wide = reference.widened(layer, j, module, 'weight');
        return g.reduce((sum, row, i) => sum + row.reduce((s, x, k) => s + x * wide[i]![k]!, 0), 0);
      });
      close(t, found.get(`operator.layer.${layer}.${module}.weight.depth`)!, expected, 1e-10, `${module} of ${layer}`);
    }
    // dB = G A W^T for the queries' weight, G b^T for their bias; S has the rows from 4 on.
    const g = transpose(toMatrix(outputs['layer.1.attention.qkv.weight']!, 18)).slice(0, 6);
    const gBias = toMatrix(outputs.bias!.slice(0, 6), 1);
    const blended = (kindOf: string) => {
      const [w0, w1] = reference.depth(1, 'attention.query', kindOf);
      const second = reference.smallWeight(1, 'attention.query', kindOf);
      return reference
        .smallWeight(0, 'attention.query', kindOf)
        .map((row, i) => row.map((x, k) => w0! * x + w1! * second[i]![k]!));
    };
    const ofWeight = product(product(g, reference.operator('emb', 1, 4)), transpose(blended('weight')));
    const ofBias = product(gBias, transpose(blended('bias')));
    const expected = [4, 5].flatMap((row) => ofWeight[row]!.map((x, k) => x + ofBias[row]![k]!));
    close(t, found.get('operator.layer.1.attention.query.width')!, expected, 1e-10, 'S of the queries');
  });

  t.test(`${kind}: the engine's loss and gradients are those of float64`, async (t) => {
    const network = tiny(largeConfig(kind));
    const state = await trainedState(network);
    const exact = traced(network);
    accumulateGradients(exact.trace.loss, { trainable: isOperator });
    const expected = run64(exact.graph, state, batchOf(kind));
    for (const [precision, limit] of [
      ['f32', 2e-5],
      ['bf16', 0.1],
    ] as const) {
      using store = await storeOf(network, state, precision);
      const { graph, trace } = traced(network, precision);
      const names = accumulateGradients(trace.loss, { trainable: isOperator });
      const program = await device.compile(graph, { store });
      const { outputs } = await program.run(batchOf(kind));
      close(t, outputs.loss!, expected.outputs.loss!, limit / 5, `${precision} loss`);
      // In units of the largest entry of all operators' gradients, of which some are zero.
      const all = (values: readonly ArrayLike<number>[]) => values.flatMap((x) => Array.from(x));
      const found = all(await Promise.all(names.map((name) => store.gradient(name))));
      const exactly = all(names.map((name) => expected.gradients.get(name)!));
      const scale = Math.max(...exactly.map(Math.abs));
      const error = Math.max(...found.map((x, i) => Math.abs(x - exactly[i]!))) / scale;
      t.ok(error <= limit, `${precision} gradients: error ${error.toExponential(1)}`);
      program.dispose();
    }
  });

  t.test(`${kind}: a plain model with the values of the expressions has the same loss`, async (t) => {
    const network = tiny(largeConfig(kind));
    const { model, ligo } = network;
    const specs = model.parameters(3);
    using store = await storeOf(network, await trainedState(network));
    const evaluated = new Graph();
    const expressions = ligo.weights(evaluated, storedWeights(evaluated, ligo.parameters, 'f32'));
    for (const { name, shape, role } of specs) evaluated.output(name, expressions(name, shape, role));
    const values = (await (await device.compile(evaluated, { store })).run({})).outputs;
    const loss = (await (await device.compile(traced(network).graph, { store })).run(batchOf(kind))).outputs.loss![0]!;

    using plain = new ParameterStore(device);
    declareSpecs(plain, specs);
    for (const { name } of specs) await plain.write(name, values[name] as Float32Array);
    const { graph } = traced(network, 'f32', (g) => modelWeights(g, model, 'f32'));
    const same = (await (await device.compile(graph, { store: plain })).run(batchOf(kind))).outputs.loss![0]!;
    t.ok(Math.abs(same - loss) <= 1e-6 * loss, `${same} and ${loss}`);
  });

  t.test(`${kind}: thirty steps of the operators lower the loss, and the small model stays`, async (t) => {
    for (const precision of ['f32', 'bf16'] as const) {
      const network = tiny(largeConfig(kind));
      const state = await initialState(network);
      using store = await storeOf(network, state, precision);
      const { graph, trace } = traced(network, precision);
      const names = accumulateGradients(trace.loss, { trainable: isOperator });
      const program = await device.compile(graph, { store });
      const adamw = new AdamW(store, { weightDecay: 0.01, maxNorm: 1 });
      const losses: number[] = [];
      for (let step = 0; step < 30; step++) {
        losses.push((await program.run(batchOf(kind))).outputs.loss![0]!);
        t.ok((await adamw.step(names, { learningRate: 0.01 })).applied);
      }
      t.ok(losses.at(-1)! < losses[0]! - 0.2, `${precision}: loss ${losses[0]} -> ${losses.at(-1)}`);
      t.not((await store.read('operator.embeddings.width')).join(), state.get('operator.embeddings.width')!.join());
      for (const name of ['small.embeddings.word', 'small.ffn.up.weight']) {
        t.equal((await store.read(name)).join(), state.get(name)!.join(), `${name} is frozen`);
      }
      program.dispose();
    }
  });
}

t.test('weights come in the dtypes that the model asks for, each made once', (t) => {
  const { model, ligo } = tiny(largeConfig('bert'));
  const graph = new Graph();
  const weights = ligo.weights(graph, storedWeights(graph, ligo.parameters, 'bf16'));
  for (const { name, shape, role } of model.parameters(3)) {
    const tensor = weights(name, shape, role);
    t.equal(tensor.dtype, role === 'matrix' ? 'bf16' : 'f32', name);
    t.same(tensor.shape, shape);
    t.equal(weights(name, shape, role), tensor);
  }
  t.throws(() => weights('embeddings.word', [7, 5], 'matrix'), { code: 'INTERNAL', message: /embeddings\.word/ });
  t.throws(() => weights('layer.3.ffn.up.bias', [11], 'vector'), { code: 'INTERNAL' });
  t.end();
});
