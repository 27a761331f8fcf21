/**
 * Language-model losses. `lmHeadLoss` computes logits x table^T chunk by chunk together with the cross-entropy, so
 * that the full logits are never held in memory; `crossEntropy` takes logits that exist.
 */

import * as is from '../../is.js';
import type { Tensor } from '../graph.js';
import { formatType, sameShape, shapeError, type TensorType } from '../shape.js';
import { defineOp, emit } from './define.js';
import { cast } from './elementwise.js';
import { reshape } from './shape.js';

/**
 * Labels of this value take no part in the loss.
 * @example
 * const labels = new Int32Array(8).fill(ignoredLabel);
 */
export const ignoredLabel = -100;

const scalar: TensorType = { shape: [1], dtype: 'f32' };

function checkHead(x: TensorType, table: TensorType, rest: readonly TensorType[], hasBias: boolean): void {
  const [bias, labels] = hasBias ? rest : [undefined, rest[0]];
  if (
    x.shape.length !== 2 ||
    table.shape.length !== 2 ||
    x.shape[1] !== table.shape[1] ||
    x.dtype === 'i32' ||
    x.dtype !== table.dtype
  ) {
    throw shapeError(
      'lmHeadLoss',
      `needs x [M, C] and table [V, C] of one floating dtype; got ${formatType(x)} and ${formatType(table)}`,
    );
  }
  if (bias && (bias.dtype !== 'f32' || !sameShape(bias.shape, [table.shape[0]!]))) {
    throw shapeError('lmHeadLoss', `bias must be f32 [${table.shape[0]}]; got ${formatType(bias)}`);
  }
  if (labels?.dtype !== 'i32' || !sameShape(labels.shape, [x.shape[0]!])) {
    throw shapeError(
      'lmHeadLoss',
      `labels must be i32 [${x.shape[0]}], one a row of x; got ${labels ? formatType(labels) : 'none'}`,
    );
  }
}

/** (x [M, C], table [V, C], [bias f32 [V]], labels i32 [M]) -> (loss f32 [1], count f32 [1]). */
export const lmHeadLossOp = defineOp<{ hasBias: boolean }>({
  name: 'lmHeadLoss',
  shape([x, table, ...rest], { hasBias }) {
    checkHead(x!, table!, rest, hasBias);
    return [scalar, scalar];
  },
  gradient({ inputs, attrs, gradient, dtype, replaceOutput }) {
    const results = emit(lmHeadLossGradientOp, [...inputs, reshape(gradient(0)!, [1])], attrs);
    const [loss, count, dx, dTable, dBias] = results as [Tensor, Tensor, Tensor, Tensor, Tensor?];
    replaceOutput(0, loss);
    replaceOutput(1, count);
    return [dx, cast(dTable, dtype(1)), ...(dBias ? [dBias] : [])];
  },
  flops: ([x, table]) => 2 * x!.shape[0]! * x!.shape[1]! * table!.shape[0]!,
});

/** (x, table, [bias], labels, g f32 [1]) -> (loss, count, dx, dTable f32, [dBias f32]): gradients of g * loss. */
export const lmHeadLossGradientOp = defineOp<{ hasBias: boolean }>({
  name: 'lmHeadLossGradient',
  accumulable: [3, 4],
  shape([x, table, bias], { hasBias }) {
    return [scalar, scalar, x!, { shape: table!.shape, dtype: 'f32' }, ...(hasBias ? [bias!] : [])];
  },
  flops: ([x, table]) => 6 * x!.shape[0]! * x!.shape[1]! * table!.shape[0]!,
});

/** (logits [M, V], labels i32 [M]) -> (loss f32 [1], count f32 [1], lse f32 [M]). */
export const crossEntropyOp = defineOp<Record<never, never>>({
  name: 'crossEntropy',
  shape([logits, labels]) {
    if (
      logits!.shape.length !== 2 ||
      logits!.dtype === 'i32' ||
      labels!.dtype !== 'i32' ||
      !sameShape(labels!.shape, [logits!.shape[0]!])
    ) {
      throw shapeError(
        'crossEntropy',
        `needs logits [M, V] and i32 labels [M]; got ${formatType(logits!)} and ${formatType(labels!)}`,
      );
    }
    return [scalar, scalar, { shape: labels!.shape, dtype: 'f32' }];
  },
  gradient({ inputs, outputs, gradient }) {
    const [logits, labels] = inputs as [Tensor, Tensor];
    const g = reshape(gradient(0)!, [1]);
    return emit(crossEntropyBackwardOp, [g, logits, labels, outputs[2]!, outputs[1]!], {});
  },
});

/** (g f32 [1], logits, labels, lse, count) -> dlogits. */
export const crossEntropyBackwardOp = defineOp<Record<never, never>>({
  name: 'crossEntropyBackward',
  shape: ([, logits]) => [logits!],
});

const takesLmHeadLoss = is.takes('lmHeadLoss', {
  x: is.tensor,
  table: is.tensor,
  labels: is.tensor,
  options: is.options({ bias: is.optional(is.tensor) }),
});

/**
 * Mean over labels != -100 of -log softmax(x table^T + bias)[label], and how many labels there were (both f32 [1];
 * loss 0 when none). x [M, C], table [V, C], labels i32 [M] in [0, V) or -100: others reject the run.
 * @param x Rows of hidden states [M, C].
 * @param table Table [V, C], such as that of the word embeddings.
 * @param labels i32 [M], each in [0, V), or -100 for a row that does not count.
 * @param options A bias of the logits.
 * @example
 * const table = graph.parameter('table', [400, 64]);
 * const { loss } = lmHeadLoss(graph.input('rows', [16, 64]), table, graph.input('labels', [16], 'i32'));
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function lmHeadLoss(
  x: Tensor,
  table: Tensor,
  labels: Tensor,
  options: {
    /** Added to the logits, f32 [V]. Default: none. */
    readonly bias?: Tensor | undefined;
  } = {},
): {
  /** Mean over the labels that count, in nats, f32 [1]; 0 when there are none. */
  loss: Tensor;
  /** Number of labels that count, f32 [1]. */
  count: Tensor;
} {
  takesLmHeadLoss(x, table, labels, options);
  const { bias } = options;
  const inputs = [x, table, ...(bias ? [bias] : []), labels];
  const [loss, count] = emit(lmHeadLossOp, inputs, { hasBias: bias !== undefined }) as [Tensor, Tensor];
  return { loss, count };
}

const takesCrossEntropy = is.takes('crossEntropy', { logits: is.tensor, labels: is.tensor });

/**
 * Mean cross-entropy of logits [M, V] with labels i32 [M] (-100 is ignored); loss and count as in lmHeadLoss.
 * @param logits f32 or bf16 [M, V].
 * @param labels i32 [M], each in [0, V), or -100 for a row that does not count.
 * @example
 * const { loss, count } = crossEntropy(logits, graph.input('labels', [2], 'i32'));
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function crossEntropy(
  logits: Tensor,
  labels: Tensor,
): {
  /** Mean over the labels that count, in nats, f32 [1]; 0 when there are none. */
  loss: Tensor;
  /** Number of labels that count, f32 [1]. */
  count: Tensor;
} {
  takesCrossEntropy(logits, labels);

  const [loss, count] = emit(crossEntropyOp, [logits, labels], {}) as [Tensor, Tensor];
  return { loss, count };
}
