/**
 * Language-model heads: from hidden states to a loss or to logits. The output matrix is `table` [V, C]: the word table
 * where the two are tied, else one of the head's own.
 */
import type { Tensor } from '../engine/graph.js';
import { gatherRows, lmHeadLoss, matmul, reshape } from '../engine/ops/index.js';
import { type Activation, norm, type Weights } from './layers.js';
import { activatedLinear } from './transformer.js';

/** [B, T, C] -> [B*T, C]. */
export function flatten(x: Tensor): Tensor {
  return reshape(x, [-1, x.shape.at(-1) as number]);
}

/**
 * Cross-entropy of the head over rows [M, C] against labels i32[M]; -100 is not counted. `loss` is the mean over
 * the `count` labels that are. Logits are formed in chunks of rows inside the op and never stored.
 */
export function tiedLoss(rows: Tensor, table: Tensor, labels: Tensor, bias?: Tensor): { loss: Tensor; count: Tensor } {
  return lmHeadLoss(rows, table, labels, { bias });
}

/** rows [M, C] times the table [V, C] transposed (+ bias [V]) -> logits f32 [M, V]. */
export function tiedLogits(rows: Tensor, table: Tensor, bias?: Tensor): Tensor {
  return matmul(rows, table, { transB: true, dtype: 'f32', bias });
}

/** BERT's transform before the decoder: LN(activation(x W + b)); weights `head.transform.*` and `head.norm.*`. */
export function mlmTransform(
  rows: Tensor,
  weights: Weights,
  options: { readonly epsilon: number; readonly activation: Activation; readonly training: boolean },
): Tensor {
  const { epsilon, activation, training } = options;
  const changed = activatedLinear(rows, weights, 'head.transform', rows.shape[1] as number, activation, training);
  return norm(changed, weights, 'head.norm', epsilon);
}

/** Rows of hidden [B, T, C] at flat positions i32[P] -> [P, C]. */
export function atPositions(hidden: Tensor, positions: Tensor): Tensor {
  return gatherRows(flatten(hidden), positions);
}
