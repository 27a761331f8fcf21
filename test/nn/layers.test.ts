import t from 'tap';
import { evaluate, Graph, type Tensor } from '../../lib/engine/index.js';
import { addNorm, linear, tokenEmbeddings, type Weights } from '../../lib/nn/layers.js';

t.test('linear is x W + b over the last axis', async (t) => {
  const fed = { x: [1, 2, 3, 4], 'a.weight': [1, 0, 2, 0, 1, 3], 'a.bias': [10, 20, 30] };
  const run = (activation?: 'gelu') =>
    evaluate(
      (graph) => {
        const weights: Weights = (name, shape) => graph.input(name, shape);
        return linear(graph.input('x', [1, 2, 2]), weights, 'a', 3, { activation });
      },
      { ...fed, 'a.bias': activation ? [-1, -2, -8] : fed['a.bias'] },
    ) as Promise<Float32Array>;
  // [1 2] W = [1 2 8], [3 4] W = [3 4 18]
  t.same([...(await run())], [11, 22, 38, 13, 24, 48]);
  // gelu(0) = 0, gelu(2) = 1.95449974, gelu(10) = 10
  const activated = await run('gelu');
  [0, 0, 0, 1.95449974, 1.95449974, 10].forEach((expected, i) => {
    t.ok(Math.abs((activated[i] as number) - expected) < 1e-6, `gelu ${i}: ${activated[i]}`);
  });
});

t.test('token embeddings are the sum of word, position and type', async (t) => {
  const tables = {
    'embeddings.word': [1, 2, 3, 4, 5, 6],
    'embeddings.position': [10, 20, 30, 40, 50, 60],
    'embeddings.type': [100, 200, 300, 400],
  };
  const sizes = { vocabSize: 3, hidden: 2, maxPositions: 3 };
  const run = (typeVocab?: number, types?: number[]) =>
    evaluate(
      (graph) => {
        const weights: Weights = (name, shape) => graph.input(name, shape);
        const kinds = types ? graph.input('types', [2, 2], 'i32') : undefined;
        return tokenEmbeddings(graph.input('tokens', [2, 2], 'i32'), weights, { ...sizes, typeVocab }, kinds);
      },
      {
        tokens: [2, 0, 1, 1],
        'embeddings.word': tables['embeddings.word'],
        'embeddings.position': tables['embeddings.position'],
        ...(typeVocab ? { 'embeddings.type': tables['embeddings.type'] } : {}),
        ...(types ? { types } : {}),
      },
    ) as Promise<Float32Array>;
  t.same([...(await run())], [15, 26, 31, 42, 13, 24, 33, 44]);
  t.same([...(await run(2))], [115, 226, 131, 242, 113, 224, 133, 244], 'every token has type 0');
  t.same([...(await run(2, [0, 1, 1, 0]))], [115, 226, 331, 442, 313, 424, 133, 244]);
});

t.test('addNorm gives the sum and its norm', async (t) => {
  const { y, sum } = (await evaluate(
    (graph) => {
      const weights: Weights = (name, shape) => graph.input(name, shape);
      return addNorm(graph.input('x', [1, 2]), graph.input('r', [1, 2]), weights, 'n', { epsilon: 1e-12, p: 0 });
    },
    { x: [1, 2], r: [4, 1], 'n.weight': [2, 3], 'n.bias': [0.5, -0.5] },
  )) as { y: Float32Array; sum: Float32Array };
  t.same([...sum], [5, 3]);
  // (5 - 4) / 1 * 2 + 0.5, (3 - 4) / 1 * 3 - 0.5
  t.same([...y], [2.5, -3.5]);
});

t.test('weights are asked for by name, shape and role', async (t) => {
  const graph = new Graph();
  const asked: [string, readonly number[], string][] = [];
  const weights = (name: string, shape: readonly number[], role: 'matrix' | 'vector'): Tensor => {
    asked.push([name, shape, role]);
    return graph.parameter(name, shape);
  };
  linear(graph.input('x', [4, 2]), weights, 'a.b', 3);
  t.same(asked, [
    ['a.b.weight', [2, 3], 'matrix'],
    ['a.b.bias', [3], 'vector'],
  ]);
});
