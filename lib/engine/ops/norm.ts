/** Layer normalisation (Ba et al. 2016), alone and fused with dropout and the residual sum before it. */

import * as is from '../../is.js';
import type { Tensor } from '../graph.js';
import { formatShape, formatType, sameShape, shapeError, type TensorType } from '../shape.js';
import { defineOp, emit, emitOne } from './define.js';
import { checkProbability } from './dropout.js';

/** Throws BAD_SHAPE unless x is floating [.., C] and the vectors (weight, and bias where there is one) are f32 [C]. */
export function checkNorm(op: string, x: TensorType, vectors: Readonly<Record<string, TensorType>>): void {
  if (x.dtype === 'i32' || x.shape.length < 1)
    throw shapeError(op, `needs f32 or bf16 x [.., C]; got ${formatType(x)}`);
  for (const [name, vector] of Object.entries(vectors)) {
    if (vector.dtype !== 'f32' || !sameShape(vector.shape, [x.shape.at(-1)!])) {
      throw shapeError(
        op,
        `${name} must be f32 [${x.shape.at(-1)}] for x ${formatShape(x.shape)}; got ${formatType(vector)}`,
      );
    }
  }
}

/** Throws BAD_SHAPE unless the two branches of a residual sum are of one type. */
export function checkBranches(op: string, x: TensorType, residual: TensorType): void {
  if (x.dtype !== residual.dtype || !sameShape(x.shape, residual.shape)) {
    throw shapeError(op, `x ${formatType(x)} and residual ${formatType(residual)} must be alike`);
  }
}

/** One f32 a row of x. */
export function statistics(x: TensorType): TensorType {
  return { shape: [x.shape.slice(0, -1).reduce((rows, extent) => rows * extent, 1)], dtype: 'f32' };
}

/** (x, w, b) -> (y, mean, rstd). */
export const layerNormOp = defineOp<{ epsilon: number }>({
  name: 'layerNorm',
  shape([x, weight, bias]) {
    checkNorm('layerNorm', x!, { weight: weight!, bias: bias! });
    return [x!, statistics(x!), statistics(x!)];
  },
  gradient({ inputs, outputs, gradient }) {
    const [x, weight] = inputs as [Tensor, Tensor];
    return emit(layerNormBackwardOp, [gradient(0)!, x, outputs[1]!, outputs[2]!, weight], {});
  },
});

/** (dy, x, mean, rstd, w) -> (dx, dw, db). */
export const layerNormBackwardOp = defineOp<Record<never, never>>({
  name: 'layerNormBackward',
  accumulable: [1, 2],
  shape: ([, x, , , weight]) => [x!, weight!, weight!],
});

/** (x, residual, w, b, [rng]) -> (y, sum, mean, rstd) with sum = residual + dropout(x), y = layerNorm(sum). */
export const residualNormOp = defineOp<{ epsilon: number; p: number; stream: number }>({
  name: 'residualNorm',
  differentiableOutputs: 2,
  shape([x, residual, weight, bias]) {
    checkBranches('residualNorm', x!, residual!);
    checkNorm('residualNorm', x!, { weight: weight!, bias: bias! });
    return [x!, x!, statistics(x!), statistics(x!)];
  },
  gradient({ inputs, outputs, attrs, gradient }) {
    const [, , weight, , rng] = inputs as [Tensor, Tensor, Tensor, Tensor, Tensor?];
    const [, sum, mean, rstd] = outputs as [Tensor, Tensor, Tensor, Tensor];
    const dsum = gradient(1);
    // Only the sum was used: nothing to normalise back.
    const dy = gradient(0) ?? sum.graph.constant(0, sum.shape, sum.dtype);
    const [dResidual, dw, db, dx] = emit(
      residualNormBackwardOp,
      [dy, sum, mean, rstd, weight, ...(dsum ? [dsum] : []), ...(rng ? [rng] : [])],
      { hasDsum: dsum !== undefined, p: attrs.p, stream: attrs.stream },
    );
    return [dx ?? dResidual, dResidual, dw, db];
  },
});

/** (dy, sum, mean, rstd, w, [dsum], [rng]) -> (dResidual, dw, db, [dx when p > 0]). */
export const residualNormBackwardOp = defineOp<{ hasDsum: boolean; p: number; stream: number }>({
  name: 'residualNormBackward',
  accumulable: [1, 2],
  shape: ([, sum, , , weight], { p }) => [sum!, weight!, weight!, ...(p > 0 ? [sum!] : [])],
});

const takesLayerNorm = is.takes('layerNorm', {
  x: is.tensor,
  weight: is.tensor,
  bias: is.tensor,
  options: is.options({ epsilon: is.optional(is.notNegative) }),
});

/**
 * (x - mean) / sqrt(variance + epsilon) * weight + bias over the last axis; weight and bias f32 [C].
 * @param x [.., C], f32 or bf16.
 * @param weight f32 [C].
 * @param bias f32 [C].
 * @param options Epsilon.
 * @example
 * const y = layerNorm(x, graph.parameter('weight', [64]), graph.parameter('bias', [64]), { epsilon: 1e-5 });
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function layerNorm(
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  options: {
    /** Added to the variance, 0 or more. Default: 1e-5. */
    readonly epsilon?: number;
  } = {},
): Tensor {
  takesLayerNorm(x, weight, bias, options);
  const { epsilon = 1e-5 } = options;
  return emitOne(layerNormOp, [x, weight, bias], { epsilon });
}

const takesResidualNorm = is.takes('residualNorm', {
  x: is.tensor,
  residual: is.tensor,
  weight: is.tensor,
  bias: is.tensor,
  options: is.options({ epsilon: is.optional(is.notNegative), p: is.optional(is.number) }),
});

/**
 * `sum` = residual + dropout(x, p) and `y` = layerNorm(sum) in one pass over memory.
 * Post-LN (BERT) uses y only; pre-LN (GPT-2) uses y for the next sub-layer and sum as the next residual.
 * @param x [.., C], f32 or bf16.
 * @param residual The residual stream, of the type of x.
 * @param weight f32 [C].
 * @param bias f32 [C].
 * @param options Epsilon and dropout.
 * @example
 * const y = residualNorm(x, residual, graph.parameter('weight', [64]), graph.parameter('bias', [64]), { p: 0.1 });
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function residualNorm(
  x: Tensor,
  residual: Tensor,
  weight: Tensor,
  bias: Tensor,
  options: {
    /** Added to the variance, 0 or more. Default: 1e-5. */
    readonly epsilon?: number;
    /** Probability of dropout of x, in [0, 1). Default: 0. */
    readonly p?: number;
  } = {},
): {
  /** The norm of the sum, [.., C]. */
  y: Tensor;
  /** residual + dropout(x), [.., C]: the next residual. */
  sum: Tensor;
} {
  takesResidualNorm(x, residual, weight, bias, options);
  const { epsilon = 1e-5, p = 0 } = options;
  checkProbability('residualNorm', p);
  const [rng, stream] = p > 0 ? [[x.graph.rng()], x.graph.nextStream()] : [[], 0];
  const [y, sum] = emit(residualNormOp, [x, residual, weight, bias, ...rng], { epsilon, p, stream }) as [
    Tensor,
    Tensor,
  ];
  return { y, sum };
}
