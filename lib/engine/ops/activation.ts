/** GELU, exact (erf) or by tanh as GPT-2 has it (Hendrycks and Gimpel 2016). */

import * as is from '../../is.js';
import type { Tensor } from '../graph.js';
import { formatType, shapeError } from '../shape.js';
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
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function gelu(x: Tensor, options: { readonly tanh?: boolean } = {}): Tensor {
  takesGelu(x, options);
  const { tanh = false } = options;
  return emitOne(geluOp, [x], { tanh });
}
