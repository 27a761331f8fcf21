import t from 'tap';
import { accumulateGradients } from '../../lib/engine/autodiff.js';
import { Graph } from '../../lib/engine/graph.js';
import {
  type BatchShape,
  createModel,
  layerOf,
  modelWeights,
  type TraceOptions,
  withDefaults,
} from '../../lib/models/index.js';

const sizes = { layers: 4, hidden: 16, heads: 2, vocabSize: 32, maxPositions: 8 };
const models = {
  bert: createModel(withDefaults({ kind: 'bert', ...sizes })),
  gpt: createModel(withDefaults({ kind: 'gpt', ...sizes })),
  llama: createModel(
    withDefaults({
      kind: 'llama',
      ...sizes,
      keyValueHeads: 1,
      dropout: 0.1,
      attentionDropout: 0.1,
      attentionBias: 'all',
      queryKeyNorms: true,
    }),
  ),
};
type Kind = keyof typeof models;
const kinds = Object.keys(models) as Kind[];
const shape: BatchShape = { batch: 2, seq: 8, targets: 3, padding: false };

function traced(
  kind: Kind,
  options: Partial<TraceOptions> = {},
  batch: Partial<BatchShape> = {},
  precision: 'f32' | 'bf16' = 'f32',
) {
  const graph = new Graph();
  const model = models[kind];
  const trace = model.trace(
    graph,
    modelWeights(graph, model, precision),
    { ...shape, ...batch },
    { layerMap: [0, 1, 2, 3], training: true, ...options },
  );
  const count = (op: string): number => graph.nodes.filter((node) => node.op.name === op).length;
  return { graph, trace, count };
}

t.test('the inputs are those of the contract', async (t) => {
  const types = (graph: Graph): string[] =>
    [...graph.inputs].map(([name, { dtype, shape }]) => `${name} ${dtype} [${shape.join(', ')}]`).sort();
  for (const kind of ['gpt', 'llama'] as const) {
    t.same(types(traced(kind).graph), ['labels i32 [16]', 'rng i32 [4]', 'tokens i32 [2, 8]'], kind);
  }
  t.same(types(traced('bert').graph), ['labels i32 [3]', 'positions i32 [3]', 'rng i32 [4]', 'tokens i32 [2, 8]']);
  const padded = types(traced('bert', { training: false }, { padding: true, types: true }).graph);
  t.same(padded, ['labels i32 [3]', 'mask i32 [2, 8]', 'positions i32 [3]', 'tokens i32 [2, 8]', 'types i32 [2, 8]']);
});

t.test('a full model uses each declared parameter, and each receives a gradient', async (t) => {
  for (const kind of kinds) {
    const { graph, trace } = traced(kind);
    const declared = models[kind].parameters(4).map(({ name }) => name);
    t.same([...graph.parameters.keys()].sort(), [...declared].sort(), kind);
    t.same(accumulateGradients(trace.loss).sort(), [...declared].sort(), kind);
  }
});

t.test('the body is the model without its head', async (t) => {
  for (const kind of kinds) {
    const { body } = models[kind];
    const graph = new Graph();
    const weights = modelWeights(graph, models[kind], 'f32');
    const { hidden, states } = body.trace(graph, weights, shape, { layerMap: [0, 1, 1], training: false });
    t.same(hidden.shape, [2, 8, 16]);
    t.equal(states.length, 4);
    t.equal(states.at(-1), hidden);
    t.same([...graph.inputs.keys()], ['tokens']);
    const names = (trainedLayers: number) => body.parameters(trainedLayers).map(({ name }) => name);
    t.same([...graph.parameters.keys()].sort(), names(2).sort(), kind);
    const whole = models[kind].parameters(2).map(({ name }) => name);
    t.same(
      whole.filter((name) => !names(2).includes(name)).every((name) => name.startsWith('head.')),
      true,
    );
  }
});

t.test('shared layers are the same leaves; layers outside the map do not appear', async (t) => {
  for (const kind of kinds) {
    const { graph, count, trace } = traced(kind, { layerMap: [0, 0, 2, 2, 2] });
    t.equal(count('attention'), 5, 'the depth is the length of the map');
    const layers = new Set([...graph.parameters.keys()].map(layerOf).filter((layer) => layer !== undefined));
    t.same([...layers].sort(), [0, 2]);
    const names = accumulateGradients(trace.loss);
    t.notOk(names.some((name) => name.startsWith('layer.1') || name.startsWith('layer.3')));
  }
});

t.test('every residual add is fused with the norm after it', async (t) => {
  for (const kind of kinds) {
    const { count } = traced(kind);
    const [norm, fused] = kind === 'llama' ? ['rmsNorm', 'residualRmsNorm'] : ['layerNorm', 'residualNorm'];
    t.equal(count(fused), 8, 'two a layer');
    // Left are: BERT, embeddings and head transform; pre-norm models, the first layer's first norm; and, in the heads of
    // Llama, those of queries and keys.
    t.equal(count(norm), { bert: 2, gpt: 1, llama: 1 + 2 * 4 }[kind]);
    t.equal(count('binary'), { bert: 2, gpt: 1, llama: 0 }[kind], 'the only adds are those of the embeddings');
  }
});

t.test('each use of dropout has a stream of its own; none without training', async (t) => {
  for (const kind of kinds) {
    const { graph } = traced(kind, { layerMap: [0, 0, 0] });
    const streams = graph.nodes
      .map((node) => node.attrs.stream)
      .filter((stream) => typeof stream === 'number' && stream > 0);
    t.same(
      streams,
      Array.from({ length: 1 + 3 * 3 }, (_, i) => i + 1),
      'embeddings, then three a layer',
    );
    t.notOk(traced(kind, { training: false }).graph.inputs.has('rng'));
  }
});

t.test('bf16 takes working copies of matrices and f32 vectors', async (t) => {
  for (const kind of kinds) {
    const { graph, trace } = traced(kind, { logits: true }, {}, 'bf16');
    for (const [name, { dtype, shape }] of graph.parameters) t.equal(dtype, shape.length === 2 ? 'bf16' : 'f32', name);
    t.equal(trace.loss.dtype, 'f32');
    t.equal(trace.logits?.dtype, 'f32');
  }
});

t.test('logits and hidden states come when asked for', async (t) => {
  for (const kind of kinds) {
    const plain = traced(kind).trace;
    t.notOk(plain.logits ?? plain.hiddenStates);
    const full = traced(kind, { logits: true, hiddenStates: true, layerMap: [0, 1, 0] }).trace;
    t.same(full.logits?.shape, [16, 32]);
    t.same(
      full.hiddenStates?.map((state) => state.shape),
      Array.from({ length: 4 }, () => [2, 8, 16]),
    );
  }
});

t.test('what does not fit the model is refused', async (t) => {
  const refuses = (options: Partial<TraceOptions>, batch: Partial<BatchShape>, message: RegExp): void => {
    t.throws(() => traced('bert', options, batch), { code: 'BAD_ARGUMENT', message });
  };
  refuses({ layerMap: [] }, {}, /layerMap is empty/);
  refuses({ layerMap: [0, 4] }, {}, /layerMap\[1\] is 4, but the model has layers 0 to 3/);
  refuses({ layerMap: [0, -1] }, {}, /layerMap\[1\] is -1/);
  refuses({}, { seq: 9 }, /seq 9 is longer than the model's 8 positions/);
  refuses({}, { batch: 0 }, /batch must be a positive whole number; got 0/);
  refuses({}, { targets: 0 }, /needs targets.*got 0/);
});

t.test('a weight that is not declared, or declared otherwise, is named', async (t) => {
  const graph = new Graph();
  const weights = modelWeights(graph, models.gpt, 'f32');
  t.throws(() => weights('layer.9.ffn.up.weight', [16, 64], 'matrix'), {
    code: 'INTERNAL',
    message: /"layer\.9\.ffn\.up\.weight"/,
  });
  t.throws(() => weights('embeddings.word', [31, 16], 'matrix'), { code: 'INTERNAL' });
  t.throws(() => weights('embeddings.word', [32, 16], 'vector'), { code: 'INTERNAL' });
});
