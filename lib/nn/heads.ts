/** Language-model heads: from hidden states to a loss or to logits, with the output matrix tied to the word table. */
import type { Tensor } from '../engine/graph.js';
import { gatherRows, lmHeadLoss, matmul, reshape } from '../engine/ops/index.js';
import { norm, type Weights } from './layers.js';
import { activatedLinear } from './transformer.js';

/** [B, T, C] -> [B*T, C]. */
export function flatten(x: Tensor): Tensor {
  return reshape(x, [-1, x.shape.at(-1) as number]);
}

/**
 * Cross-entropy of the tied head over rows [M, C] against labels i32[M]; -100 is not counted. `loss` is the mean over
 * the `count` labels that are. Logits are formed in chunks of rows inside the op and never stored.
 */
export function tiedLoss(rows: Tensor, table: Tensor, labels: Tensor, bias?: Tensor): { loss: Tensor; count: Tensor } {
  return lmHeadLoss(rows, table, labels, { bias });
}

/** rows [M, C] times the word table [V, C] transposed (+ bias [V]) -> logits f32 [M, V]. */
export function tiedLogits(rows: Tensor, table: Tensor, bias?: Tensor): Tensor {
  return matmul(rows, table, { transB: true, dtype: 'f32', bias });
}

/** BERT's transform before the decoder: LN(gelu(x W + b)); weights `head.transform.*` and `head.norm.*`. */
export function mlmTransform(rows: Tensor, weights: Weights, epsilon: number, training: boolean): Tensor {
  const width = rows.shape[1] as number;
  return norm(activatedLinear(rows, weights, 'head.transform', width, 'gelu', training), weights, 'head.norm', epsilon);
}

/** Rows of hidden [B, T, C] at flat positions i32[P] -> [P, C]. */
export function atPositions(hidden: Tensor, positions: Tensor): Tensor {
  return gatherRows(flatten(hidden), positions);
}
