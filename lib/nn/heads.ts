/**
 * Language-model heads: from hidden states to a loss or to logits. The output matrix is `table` [V, C]: the word table
 * where the two are tied, else one of the head's own.
 */
import type { Tensor } from '../engine/graph.js';
import { gatherRows, lmHeadLoss, matmul, reshape } from '../engine/ops/index.js';
import * as is from '../is.js';
import { type Activation, norm, type Weights } from './layers.js';
import { activatedLinear } from './transformer.js';

const takesFlatten = is.takes('flatten', { x: is.tensor });

/**
 * [B, T, C] -> [B*T, C].
 * @example
 * const rows = flatten(hidden); // [B * T, C]
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function flatten(x: Tensor): Tensor {
  takesFlatten(x);

  return reshape(x, [-1, x.shape.at(-1) as number]);
}

const takesTiedLoss = is.takes('tiedLoss', {
  rows: is.tensor,
  table: is.tensor,
  labels: is.tensor,
  bias: is.optional(is.tensor),
});

/**
 * Cross-entropy of the head over rows [M, C] against labels i32[M]; -100 is not counted. `loss` is the mean over
 * the `count` labels that are. Logits are formed in chunks of rows inside the op and never stored.
 * @param rows Hidden states, [M, C].
 * @param table Table of the word embeddings, [V, C].
 * @param labels i32 [M], each in [0, V), or -100 for a row that does not count.
 * @param bias Added to the logits, f32 [V]. Default: none.
 * @example
 * const { loss } = tiedLoss(flatten(hidden), graph.parameter('table', [400, 64]), graph.input('labels', [16], 'i32'));
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function tiedLoss(
  rows: Tensor,
  table: Tensor,
  labels: Tensor,
  bias?: Tensor,
): {
  /** Mean over the labels that count, in nats, f32 [1]; 0 when there are none. */
  loss: Tensor;
  /** Number of labels that count, f32 [1]. */
  count: Tensor;
} {
  takesTiedLoss(rows, table, labels, bias);

  return lmHeadLoss(rows, table, labels, { bias });
}

const takesTiedLogits = is.takes('tiedLogits', { rows: is.tensor, table: is.tensor, bias: is.optional(is.tensor) });

/**
 * rows [M, C] times the table [V, C] transposed (+ bias [V]) -> logits f32 [M, V].
 * @param rows Hidden states, [M, C].
 * @param table Table of the word embeddings, [V, C].
 * @param bias Added to the logits, f32 [V]. Default: none.
 * @example
 * const logits = tiedLogits(flatten(hidden), graph.parameter('table', [400, 64]));
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function tiedLogits(rows: Tensor, table: Tensor, bias?: Tensor): Tensor {
  takesTiedLogits(rows, table, bias);

  return matmul(rows, table, { transB: true, dtype: 'f32', bias });
}

const takesMlmTransform = is.takes('mlmTransform', {
  rows: is.tensor,
  weights: is.weights,
  options: is.options({ epsilon: is.notNegative, activation: is.activation, training: is.boolean }),
});

/**
 * BERT's transform before the decoder: LN(activation(x W + b)); weights `head.transform.*` and `head.norm.*`.
 * @param rows Hidden states, [M, C].
 * @param weights Gives the tensors of parameters by name.
 * @param options Norm and activation.
 * @example
 * const rows = mlmTransform(flatten(hidden), weights, { epsilon: 1e-12, activation: 'gelu', training: true });
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function mlmTransform(
  rows: Tensor,
  weights: Weights,
  options: {
    /** Added to the variance of the norm, 0 or more. */
    readonly epsilon: number;
    /** The activation after the product. */
    readonly activation: Activation;
    /** Whether the graph is trained, so that what its backward pass needs is kept. */
    readonly training: boolean;
  },
): Tensor {
  takesMlmTransform(rows, weights, options);

  const { epsilon, activation, training } = options;
  const changed = activatedLinear(rows, weights, 'head.transform', rows.shape[1] as number, activation, training);
  return norm(changed, weights, 'head.norm', epsilon);
}

const takesAtPositions = is.takes('atPositions', { hidden: is.tensor, positions: is.tensor });

/**
 * Rows of hidden [B, T, C] at flat positions i32[P] -> [P, C].
 * @example
 * const rows = atPositions(hidden, graph.input('positions', [4], 'i32')); // [4, C]
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function atPositions(hidden: Tensor, positions: Tensor): Tensor {
  takesAtPositions(hidden, positions);

  return gatherRows(flatten(hidden), positions);
}
