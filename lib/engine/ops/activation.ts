/** GELU, exact (erf) or by tanh as GPT-2 has it (Hendrycks and Gimpel 2016), and SwiGLU (Shazeer 2020). */

import * as is from '../../is.js';
import type { Tensor } from '../graph.js';
import { formatType, shapeError, type TensorType } from '../shape.js';
import { defineOp, emitOne } from './define.js';

export const geluOp = defineOp<{ tanh: boolean }>({
  name: 'gelu',
  shape([x]) {
    if (x!.dtype === 'i32') throw shapeError('gelu', `needs f32 or bf16 values; got ${formatType(x!)} (cast it first)`);
    return [x!];
  },
  gradient: ({ inputs, attrs, gradient }) => [geluBackward(gradient(0)!, inputs[0]!, attrs.tanh)],
});

/** (dy, x) -> dx. */
export const geluBackwardOp = defineOp<{ tanh: boolean }>({
  name: 'geluBackward',
  shape: ([, x]) => [x!],
});

/** dy * gelu'(x); used by gradient rules. */
export function geluBackward(dy: Tensor, x: Tensor, tanh: boolean): Tensor {
  return emitOne(geluBackwardOp, [dy, x], { tanh });
}

const takesGelu = is.takes('gelu', { x: is.tensor, options: is.options({ tanh: is.optional(is.boolean) }) });

/**
 * x * Phi(x); with `tanh` 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
 * @param x f32 or bf16, of any shape.
 * @param options Exact or by tanh.
 * @example
 * const y = gelu(x, { tanh: true });
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function gelu(
  x: Tensor,
  options: {
    /** Whether Phi is approximated by tanh, as in GPT-2. Default: false, exact by erf. */
    readonly tanh?: boolean;
  } = {},
): Tensor {
  takesGelu(x, options);
  const { tanh = false } = options;
  return emitOne(geluOp, [x], { tanh });
}

function checkSwiglu(x: TensorType): void {
  if (x.dtype === 'i32' || x.shape.length < 1 || x.shape.at(-1)! % 2 !== 0) {
    throw shapeError('swiglu', `needs f32 or bf16 x [.., 2F], gate and up side by side; got ${formatType(x)}`);
  }
}

/** (x [.., 2F]) -> y [.., F]. */
export const swigluOp = defineOp<Record<never, never>>({
  name: 'swiglu',
  shape([x]) {
    checkSwiglu(x!);
    return [{ shape: [...x!.shape.slice(0, -1), x!.shape.at(-1)! / 2], dtype: x!.dtype }];
  },
  gradient: ({ inputs, gradient }) => [emitOne(swigluBackwardOp, [gradient(0)!, inputs[0]!], {})],
});

/** (dy [.., F], x [.., 2F]) -> dx. */
export const swigluBackwardOp = defineOp<Record<never, never>>({
  name: 'swigluBackward',
  shape: ([, x]) => [x!],
});

const takesSwiglu = is.takes('swiglu', { x: is.tensor });

/**
 * silu(gate) * up -> [.., F] for x [.., 2F], f32 or bf16, whose rows hold gate and up side by side; silu(z) =
 * z / (1 + e^-z). Computed in f32 and rounded once (Shazeer 2020, arXiv 2002.05202).
 * @example
 * const y = swiglu(x); // x [.., 2 N] -> [.., N]
 * @throws {ApolloError} BAD_SHAPE where the last extent is odd, BAD_ARGUMENT naming an argument that is wrong.
 */
export function swiglu(x: Tensor): Tensor {
  takesSwiglu(x);

  return emitOne(swigluOp, [x], {});
}
