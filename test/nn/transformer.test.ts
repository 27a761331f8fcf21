import t from 'tap';
import {
  add,
  evaluate,
  type Graph,
  gelu,
  layerNorm,
  matmul,
  reshape,
  type Shape,
  scale,
  slice,
  softmax,
  type Tensor,
  transpose,
} from '../../lib/engine/index.js';
import type { Weights } from '../../lib/nn/layers.js';
import { postNormStack, preNormStack, type StackOptions, selfAttention } from '../../lib/nn/transformer.js';

const [batch, seq, width, heads, ffn] = [2, 5, 8, 2, 12];

/** Values around zero, different for each name and place; weights of norms around one. */
function values(name: string, shape: Shape): Float32Array {
  let seed = 0;
  for (const character of name) seed = (seed * 31 + character.charCodeAt(0)) % 9973;
  const centre = name.endsWith('norm.weight') ? 1 : 0;
  const elements = shape.reduce((a, b) => a * b, 1);
  return Float32Array.from({ length: elements }, (_, i) => centre + 0.4 * Math.sin(seed + 1.7 * i));
}

/** Weights as graph inputs, remembered so that they can be fed. */
function inputWeights(graph: Graph, fed: Record<string, Float32Array>): Weights {
  return (name, shape) => {
    fed[name] = values(name, shape);
    return graph.input(name, shape);
  };
}

/** The textbook form: heads split, scores, softmax, weighted sum, with the causal mask added as -1e9. */
function plainAttention(qkv: Tensor, maskedScores: Tensor): Tensor {
  const size = width / heads;
  const [q, k, v] = [0, 1, 2].map((part) =>
    transpose(reshape(slice(qkv, [0, 0, part * width], [batch, seq, width]), [batch, seq, heads, size]), [0, 2, 1, 3]),
  ) as [Tensor, Tensor, Tensor];
  const scores = add(scale(matmul(q, k, { transB: true }), 1 / Math.sqrt(size)), maskedScores);
  return reshape(transpose(matmul(softmax(scores), v), [0, 2, 1, 3]), [batch, seq, width]);
}

const options: StackOptions = {
  layerMap: [0, 1, 0],
  heads,
  ffn,
  epsilon: 1e-5,
  dropout: 0,
  attentionDropout: 0,
  causal: true,
  activation: 'geluTanh',
  training: true,
};

/** Both forms on the same input; their largest difference. */
async function difference(kind: 'pre' | 'post', changes: Partial<StackOptions>, padding?: number[]): Promise<number> {
  const settings = { ...options, ...changes };
  const fed: Record<string, Float32Array | Int32Array> = { x: values('x', [batch, seq, width]) };
  const forbidden = new Float32Array(batch * seq * seq);
  for (let i = 0; i < forbidden.length; i++) {
    const key = i % seq;
    const query = Math.floor(i / seq) % seq;
    const sequence = Math.floor(i / (seq * seq));
    if (settings.causal && key > query) forbidden[i] = -1e9;
    if (padding && !padding[sequence * seq + key]) forbidden[i] = -1e9;
  }
  fed.forbidden = forbidden;
  if (padding) fed.mask = Int32Array.from(padding);
  const outputs = await evaluate((graph) => {
    const weights = inputWeights(graph, fed as Record<string, Float32Array>);
    const x = graph.input('x', [batch, seq, width]);
    const mask = padding ? graph.input('mask', [batch, seq], 'i32') : undefined;
    const masked = graph.input('forbidden', [batch, 1, seq, seq]);
    const fused =
      kind === 'pre'
        ? preNormStack(x, weights, 'final.norm', { ...settings, mask }).hidden
        : postNormStack(x, weights, { ...settings, mask }).hidden;

    const norm = (y: Tensor, name: string): Tensor =>
      layerNorm(y, weights(`${name}.weight`, [width], 'vector'), weights(`${name}.bias`, [width], 'vector'), {
        epsilon: 1e-5,
      });
    const dense = (y: Tensor, name: string, from: number, to: number): Tensor =>
      add(matmul(y, weights(`${name}.weight`, [from, to], 'matrix')), weights(`${name}.bias`, [to], 'vector'));
    const mix = (y: Tensor, at: string): Tensor =>
      dense(
        plainAttention(dense(y, `${at}.attention.qkv`, width, 3 * width), masked),
        `${at}.attention.output`,
        width,
        width,
      );
    const feed = (y: Tensor, at: string): Tensor =>
      dense(
        gelu(dense(y, `${at}.ffn.up`, width, ffn), { tanh: settings.activation === 'geluTanh' }),
        `${at}.ffn.down`,
        ffn,
        width,
      );
    let plain = x;
    for (const layer of settings.layerMap) {
      const at = `layer.${layer}`;
      if (kind === 'pre') {
        plain = add(plain, mix(norm(plain, `${at}.attention.norm`), at));
        plain = add(plain, feed(norm(plain, `${at}.ffn.norm`), at));
      } else {
        plain = norm(add(plain, mix(plain, at)), `${at}.attention.norm`);
        plain = norm(add(plain, feed(plain, at)), `${at}.ffn.norm`);
      }
    }
    return { fused, plain: kind === 'pre' ? norm(plain, 'final.norm') : plain };
  }, fed);
  const { fused, plain } = outputs as { fused: Float32Array; plain: Float32Array };
  return fused.reduce((worst, value, i) => Math.max(worst, Math.abs(value - (plain[i] as number))), 0);
}

// Outputs of a layer norm are of order 1; a few hundred f32 roundings stay below 1e-5.
t.test('the pre-norm stack is x + attention(LN(x)), x + ffn(LN(x)), final LN', async (t) => {
  t.ok((await difference('pre', {})) < 1e-5);
  t.ok((await difference('pre', { training: false })) < 1e-5, 'with the activation fused');
});

t.test('the post-norm stack is LN(x + attention(x)), LN(x + ffn(x))', async (t) => {
  t.ok((await difference('post', { causal: false, activation: 'gelu' })) < 1e-5);
  t.ok(
    (await difference('post', { causal: false, activation: 'gelu', training: false })) < 1e-5,
    'with the activation fused',
  );
  const padding = [1, 1, 1, 0, 0, 1, 1, 1, 1, 0];
  t.ok((await difference('post', { causal: false, activation: 'gelu' }, padding)) < 1e-5, 'with padding');
});

t.test('the comparison can fail', async (t) => {
  t.ok((await difference('post', { causal: false, activation: 'geluTanh', epsilon: 0.1 })) > 1e-3);
});

const [groups, size] = [1, 6];
const rotaryFrequencies = [1, 0.1, 0.01];

/** Attention of two heads of six that share a key and a value, in float64: rows of `x` [seq, width] -> [seq, width]. */
function sharedAttention(x: readonly number[][], normed: boolean): number[][] {
  const weight = (name: string, shape: Shape) => values(`a.${name}.weight`, shape);
  const product = (row: readonly number[], name: string, outputs: number) =>
    Array.from({ length: outputs }, (_, j) =>
      row.reduce((sum, value, i) => sum + value * weight(name, [row.length, outputs])[i * outputs + j]!, 0),
    );
  const normalised = (head: readonly number[], name: string) => {
    if (!normed) return head;
    const scale = 1 / Math.sqrt(head.reduce((sum, value) => sum + value * value, 0) / size + options.epsilon);
    return head.map((value, i) => value * scale * weight(name, [size])[i]!);
  };
  const turned = (head: readonly number[], position: number) =>
    head.map((value, i) => {
      const angle = position * rotaryFrequencies[i % 3]!;
      const other = i < 3 ? -head[i + 3]! : head[i - 3]!;
      return value * Math.cos(angle) + other * Math.sin(angle);
    });
  const rows = x.map((row) => product(row, 'qkv', (heads + 2 * groups) * size));
  const head = (row: readonly number[], index: number) => row.slice(index * size, (index + 1) * size);
  const keys = rows.map((row, t) => turned(normalised(head(row, heads), 'keyNorm'), t));
  const mixed = rows.map((row, t) =>
    Array.from({ length: heads }, (_, h) => {
      const query = turned(normalised(head(row, h), 'queryNorm'), t);
      const scores = keys.slice(0, t + 1).map((key) => key.reduce((sum, k, i) => sum + k * query[i]!, 0));
      const shares = scores.map((score) => Math.exp(score / Math.sqrt(size)));
      const total = shares.reduce((sum, share) => sum + share, 0);
      return query.map(
        (_, i) => shares.reduce((sum, share, s) => sum + share * rows[s]![(heads + 1) * size + i]!, 0) / total,
      );
    }).flat(),
  );
  return mixed.map((row) => product(row, 'output', width));
}

t.test(
  'heads that share keys and values, turned by their positions, with and without norms of queries and keys',
  async (t) => {
    const fed: Record<string, Float32Array> = { x: values('x', [batch, seq, width]) };
    const rows = Array.from({ length: batch * seq }, (_, row) => [...fed.x!.subarray(row * width, (row + 1) * width)]);
    const biases = { qkv: false, attentionOutput: false, ffn: false };
    const results: string[] = [];
    for (const queryKeyNorms of [false, true]) {
      const settings = { ...options, keyValueHeads: groups, headSize: size, rotaryFrequencies, biases, queryKeyNorms };
      const found = (await evaluate((graph) => {
        const weights = inputWeights(graph, fed);
        return selfAttention(graph.input('x', [batch, seq, width]), weights, 'a', settings);
      }, fed)) as Float32Array;
      const sequences = Array.from({ length: batch }, (_, b) => rows.slice(b * seq, (b + 1) * seq));
      const expected = sequences.flatMap((sequence) => sharedAttention(sequence, queryKeyNorms)).flat();
      const error = Math.max(...expected.map((value, i) => Math.abs(value - found[i]!)));
      t.ok(error < 1e-5, `error ${error.toExponential(1)}`);
      results.push(found.join());
    }
    t.not(results[0], results[1]);
  },
);
