/** Gates of branches and of whole layers: what a network is at 0 and at 1, and that a closed layer has no gradient. */
import t, { type Test } from 'tap';
import { accumulateGradients, embedding, Graph, ParameterStore, type Tensor } from '../../lib/engine/index.js';
import { createModel, declareSpecs, initialValue, modelWeights, withDefaults } from '../../lib/models/index.js';
import { flatten, tiedLogits } from '../../lib/nn/heads.js';
import { norm, scaleNorm, tokenEmbeddings, type Weights } from '../../lib/nn/layers.js';
import { testDevice } from '../device.js';

const device = await testDevice({ threads: 1 });
t.teardown(() => device.close());

const sizes = { layers: 4, hidden: 32, heads: 2, vocabSize: 13, maxPositions: 8, dropout: 0, attentionDropout: 0 };
const tokens = Int32Array.from({ length: 16 }, (_, i) => (7 * i) % 13);
const labels = Int32Array.from({ length: 16 }, (_, i) => (7 * i + 7) % 13);
const causal = { shape: { batch: 2, seq: 8, padding: false }, inputs: { tokens, labels } };
const kinds = {
  gpt: { ...causal, own: {} },
  llama: { ...causal, own: { keyValueHeads: 1 } },
  bert: {
    own: {},
    shape: { batch: 2, seq: 8, padding: false, targets: 4 },
    inputs: { tokens, positions: Int32Array.of(1, 4, 9, 12), labels: labels.subarray(0, 4) },
  },
};

type Kind = keyof typeof kinds;

async function network(t: Test, kind: Kind, precision: 'f32' | 'bf16' = 'f32') {
  const model = createModel(withDefaults({ kind, ...sizes, ...kinds[kind].own }));
  const store = new ParameterStore(device, { precision });
  t.teardown(() => store.dispose());
  declareSpecs(store, model.parameters(4));
  // Biases and norms are not at their initial 0 and 1: every term counts.
  for (const spec of model.parameters(4)) {
    const value = initialValue(spec, 9);
    await store.write(
      spec.name,
      value.map((x, i) => 3 * x + Math.sin(i + spec.name.length) / 8),
    );
  }
  const run = async (layerMap: number[], gates: { branchScales?: number[]; blockGates?: number[] } = {}) => {
    const graph = new Graph();
    const { loss, logits } = model.trace(graph, modelWeights(graph, model, precision), kinds[kind].shape, {
      layerMap,
      training: true,
      logits: true,
      branchScales: gates.branchScales !== undefined,
      blockGates: gates.blockGates !== undefined,
    });
    accumulateGradients(loss);
    graph.output('loss', loss);
    graph.output('logits', logits!);
    const program = await device.compile(graph, { store });
    const { outputs } = await program.run({ ...kinds[kind].inputs, ...gates });
    program.dispose();
    const gradients = new Map<string, Float32Array>();
    for (const name of store.names()) gradients.set(name, await store.gradient(name));
    await store.zeroGradients();
    const of = (layer: number) => [...gradients].filter(([name]) => name.startsWith(`layer.${layer}.`));
    return { loss: outputs.loss![0], logits: [...outputs.logits!], of };
  };
  return { model, store, run };
}

const isZero = (gradient: Float32Array) => gradient.every((x) => x === 0);
const all = [0, 1, 2, 3];

for (const kind of Object.keys(kinds) as Kind[]) {
  for (const precision of ['f32', 'bf16'] as const) {
    t.test(`${kind}, ${precision}: closed layers are not there, open ones are plain`, async (t) => {
      const { run } = await network(t, kind, precision);
      const plain = await run(all);
      for (const blockGates of [
        [1, 1, 0, 0],
        [1, 0, 1, 0],
        [0, 1, 1, 1],
      ]) {
        const without = await run(all.filter((layer) => blockGates[layer] === 1));
        const gated = await run(all, { blockGates });
        t.equal(gated.loss, without.loss);
        t.strictSame(gated.logits, without.logits);
        for (const layer of all) {
          const gradients = gated.of(layer);
          t.equal(
            gradients.every(([, values]) => isZero(values)),
            blockGates[layer] === 0,
            `gradient of layer ${layer}`,
          );
        }
      }
      const open = await run(all, { blockGates: [1, 1, 1, 1] });
      t.strictSame(open.logits, plain.logits);
      const scaled = await run(all, { branchScales: [1, 1, 1, 1] });
      t.strictSame(scaled.logits, plain.logits);
    });
  }

  t.test(`${kind}: a gate in between is the mean of both, weighted`, async (t) => {
    const { model, run, store } = await network(t, kind);
    const states = async (layerMap: number[], gates: { blockGates?: number[] } = {}) => {
      const graph = new Graph();
      const { states } = model.body.trace(graph, modelWeights(graph, model, 'f32'), kinds[kind].shape, {
        layerMap,
        training: false,
        blockGates: gates.blockGates !== undefined,
      });
      states.forEach((state, i) => graph.output(`${i}`, state));
      const program = await device.compile(graph, { store });
      const { outputs } = await program.run({ tokens, ...gates });
      return outputs;
    };
    // `states` of pre-norm models are the stream before the final norm, for all layers but the last.
    const [plain, gated] = [await states([0, 1, 2]), await states([0, 1, 2], { blockGates: [1, 0.25, 1] })];
    for (const [i, value] of gated['2']!.entries()) {
      const expected = 0.25 * plain['2']![i]! + 0.75 * plain['1']![i]!;
      if (Math.abs(value - expected) > 1e-5) t.fail(`element ${i}: ${value}, expected ${expected}`);
    }
    t.not((await run(all, { blockGates: [1, 0.5, 1, 1] })).loss, (await run(all)).loss);
  });
}

/** The final norm of the embeddings, which is all that is left of a pre-norm model whose branches are closed. */
const withoutBranches = {
  gpt: (tokens: Tensor, weights: Weights, epsilon: number) =>
    norm(
      tokenEmbeddings(tokens, weights, { vocabSize: 13, hidden: 32, maxPositions: 8 }),
      weights,
      'final.norm',
      epsilon,
    ),
  llama: (tokens: Tensor, weights: Weights, epsilon: number) =>
    scaleNorm(embedding(weights('embeddings.word', [13, 32], 'matrix'), tokens), weights, 'final.norm', epsilon),
};

for (const kind of ['gpt', 'llama'] as const) {
  t.test(`${kind}, branches at 0: the head of the final norm of the embeddings`, async (t) => {
    const { model, store, run } = await network(t, kind);
    const graph = new Graph();
    const weights = modelWeights(graph, model, 'f32');
    const rows = flatten(withoutBranches[kind](graph.input('tokens', [2, 8], 'i32'), weights, model.config.epsilon));
    graph.output('logits', tiedLogits(rows, weights('embeddings.word', [13, 32], 'matrix')));
    const { outputs } = await (await device.compile(graph, { store })).run({ tokens });
    const closed = await run(all, { branchScales: [0, 0, 0, 0] });
    t.strictSame(closed.logits, [...outputs.logits!]);
    t.ok(all.every((layer) => closed.of(layer).every(([, gradient]) => isZero(gradient))));
    const third = await run(all, { branchScales: [1, 1, 0, 0.5] });
    t.same(
      all.map((layer) => third.of(layer).every(([, gradient]) => isZero(gradient))),
      [false, false, true, false],
    );
  });
}

t.test('post-norm branches at 0 have no gradient; the norms stay in the stream', async (t) => {
  const { run } = await network(t, 'bert');
  const gradients = (await run(all, { branchScales: [1, 0, 1, 1] })).of(1);
  for (const [name, gradient] of gradients) t.equal(isZero(gradient), !name.includes('norm'), name);
});
