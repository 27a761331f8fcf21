/** Dropout by counters: the mask is a function of (seed, stream, step, micro-batch, element) and is never stored. */
import { check } from '../../errors.js';
import * as is from '../../is.js';
import type { Tensor } from '../graph.js';
import { formatType, shapeError } from '../shape.js';
import { defineOp, emitOne, type OpDefinition } from './define.js';

/** (x, rng) -> y. Its gradient is the op itself with the same stream. */
export const dropoutOp: OpDefinition<{ p: number; stream: number }> = defineOp({
  name: 'dropout',
  shape([x]) {
    if (x!.dtype === 'i32')
      throw shapeError('dropout', `needs f32 or bf16 values; got ${formatType(x!)} (cast it first)`);
    return [x!];
  },
  gradient: ({ inputs, attrs, gradient }) => [emitOne(dropoutOp, [gradient(0)!, inputs[1]!], attrs)],
});

/** Throws BAD_ARGUMENT unless 0 <= p < 1. */
export function checkProbability(op: string, p: number): void {
  check(p >= 0 && p < 1, `${op}: the drop probability must lie in [0, 1); got ${p}`);
}

const takesDropout = is.takes('dropout', { x: is.tensor, p: is.number });

/**
 * Zeroes elements with probability p and scales the others by 1 / (1 - p); x itself when p is 0. Reads input `rng`.
 * @example
 * const y = dropout(x, 0.1);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function dropout(x: Tensor, p: number): Tensor {
  takesDropout(x, p);

  checkProbability('dropout', p);
  return p === 0 ? x : emitOne(dropoutOp, [x, x.graph.rng()], { p, stream: x.graph.nextStream() });
}
