/**
 * Root mean square layer normalisation (Zhang and Sennrich 2019, arXiv 1910.07467), alone and fused with dropout and
 * the residual sum before it. The only statistic kept for the backward pass is rstd = 1 / sqrt(mean(x^2) + epsilon).
 */

import * as is from '../../is.js';
import type { Tensor } from '../graph.js';
import { defineOp, emit, emitOne } from './define.js';
import { checkProbability } from './dropout.js';
import { checkBranches, checkNorm, statistics } from './norm.js';

/** (x, w) -> (y, rstd). */
export const rmsNormOp = defineOp<{ epsilon: number }>({
  name: 'rmsNorm',
  shape([x, weight]) {
    checkNorm('rmsNorm', x!, { weight: weight! });
    return [x!, statistics(x!)];
  },
  gradient({ inputs, outputs, gradient }) {
    const [x, weight] = inputs as [Tensor, Tensor];
    return emit(rmsNormBackwardOp, [gradient(0)!, x, outputs[1]!, weight], {});
  },
});

/** (dy, x, rstd, w) -> (dx, dw). */
export const rmsNormBackwardOp = defineOp<Record<never, never>>({
  name: 'rmsNormBackward',
  accumulable: [1],
  shape: ([, x, , weight]) => [x!, weight!],
});

/** (x, residual, w, [rng]) -> (y, sum, rstd) with sum = residual + dropout(x), y = rmsNorm(sum). */
export const residualRmsNormOp = defineOp<{ epsilon: number; p: number; stream: number }>({
  name: 'residualRmsNorm',
  differentiableOutputs: 2,
  shape([x, residual, weight]) {
    checkBranches('residualRmsNorm', x!, residual!);
    checkNorm('residualRmsNorm', x!, { weight: weight! });
    return [x!, x!, statistics(x!)];
  },
  gradient({ inputs, outputs, attrs: { p, stream }, gradient }) {
    const [, , weight, rng] = inputs as [Tensor, Tensor, Tensor, Tensor?];
    const [, sum, rstd] = outputs as [Tensor, Tensor, Tensor];
    const dsum = gradient(1);
    // Only the sum was used: nothing to normalise back.
    const dy = gradient(0) ?? sum.graph.constant(0, sum.shape, sum.dtype);
    const [dResidual, dw, dx] = emit(
      residualRmsNormBackwardOp,
      [dy, sum, rstd, weight, ...(dsum ? [dsum] : []), ...(rng ? [rng] : [])],
      { hasDsum: dsum !== undefined, p, stream },
    );
    return [dx ?? dResidual, dResidual, dw];
  },
});

/** (dy, sum, rstd, w, [dsum], [rng]) -> (dResidual, dw, [dx when p > 0]). */
export const residualRmsNormBackwardOp = defineOp<{ hasDsum: boolean; p: number; stream: number }>({
  name: 'residualRmsNormBackward',
  accumulable: [1],
  shape: ([, sum, , weight], { p }) => [sum!, weight!, ...(p > 0 ? [sum!] : [])],
});

const takesRmsNorm = is.takes('rmsNorm', {
  x: is.tensor,
  weight: is.tensor,
  options: is.options({ epsilon: is.optional(is.notNegative) }),
});

/**
 * x / sqrt(mean(x^2) + epsilon) * weight over the last axis of x [.., C], f32 or bf16; weight f32 [C], epsilon 1e-6
 * unless given. The mean is computed in f32 and the result rounded once.
 * @param x [.., C], f32 or bf16.
 * @param weight f32 [C].
 * @param options Epsilon.
 * @example
 * const y = rmsNorm(x, graph.parameter('weight', [64]));
 * @throws {ApolloError} BAD_SHAPE where x or weight is of another type, BAD_ARGUMENT naming an argument that is wrong.
 */
export function rmsNorm(
  x: Tensor,
  weight: Tensor,
  options: {
    /** Added to the mean of squares, 0 or more. Default: 1e-6. */
    readonly epsilon?: number;
  } = {},
): Tensor {
  takesRmsNorm(x, weight, options);
  const { epsilon = 1e-6 } = options;
  return emitOne(rmsNormOp, [x, weight], { epsilon });
}

const takesResidualRmsNorm = is.takes('residualRmsNorm', {
  x: is.tensor,
  residual: is.tensor,
  weight: is.tensor,
  options: is.options({ epsilon: is.optional(is.notNegative), p: is.optional(is.number) }),
});

/**
 * `sum` = residual + dropout(x, p) and `y` = rmsNorm(sum) in one pass over memory; x and residual [.., C] of one type,
 * weight f32 [C]. A pre-norm decoder uses y for the next sub-layer and sum as the next residual.
 * @param x [.., C], f32 or bf16.
 * @param residual The residual stream, of the type of x.
 * @param weight f32 [C].
 * @param options Epsilon and dropout.
 * @example
 * const y = residualRmsNorm(x, residual, graph.parameter('weight', [64]));
 * @throws {ApolloError} BAD_SHAPE where types do not fit, BAD_ARGUMENT naming an argument that is wrong.
 */
export function residualRmsNorm(
  x: Tensor,
  residual: Tensor,
  weight: Tensor,
  options: {
    /** Added to the mean of squares, 0 or more. Default: 1e-6. */
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
  takesResidualRmsNorm(x, residual, weight, options);
  const { epsilon = 1e-6, p = 0 } = options;
  checkProbability('residualRmsNorm', p);
  const [rng, stream] = p > 0 ? [[x.graph.rng()], x.graph.nextStream()] : [[], 0];
  const [y, sum] = emit(residualRmsNormOp, [x, residual, weight, ...rng], { epsilon, p, stream }) as [Tensor, Tensor];
  return { y, sum };
}
