/**
 * Rotary position embedding (Su et al. 2021, arXiv 2104.09864) in the rotate-half convention of Hugging Face's
 * LlamaForCausalLM: element j of a head's first half and element j of its second half are one pair.
 */
import { check } from '../../errors.js';
import * as is from '../../is.js';
import type { Tensor } from '../graph.js';
import { formatType, sameShape, shapeError, type TensorType } from '../shape.js';
import { defineOp, emitOne, type OpDefinition } from './define.js';

export type RotaryAttributes = {
  /** The number of heads of the row that are rotated; the remaining ones are copied. */
  heads: number;
  headSize: number;
  frequencies: readonly number[];
  /** Rotates back: the op's own gradient. */
  inverse: boolean;
};

function checkRotary(x: TensorType, positions: TensorType | undefined, { heads, headSize }: RotaryAttributes): void {
  if (x.shape.length !== 3 || x.dtype === 'i32' || x.shape[2]! % headSize !== 0) {
    throw shapeError(
      'rotary',
      `needs f32 or bf16 x [B, T, n * ${headSize}], heads of ${headSize}; got ${formatType(x)}`,
    );
  }
  const [batch, tokens, width] = x.shape as [number, number, number];
  if (heads * headSize > width) {
    throw shapeError(
      'rotary',
      `a row has ${width / headSize} heads of ${headSize}, but heads is ${heads}; got x ${formatType(x)}`,
    );
  }
  if (positions && (positions.dtype !== 'i32' || !sameShape(positions.shape, [batch, tokens]))) {
    throw shapeError('rotary', `positions must be i32 [${batch}, ${tokens}]; got ${formatType(positions)}`);
  }
}

/** (x [B, T, n * headSize], [positions i32 [B, T]]) -> y. A rotation's gradient is the rotation back. */
export const rotaryOp: OpDefinition<RotaryAttributes> = defineOp<RotaryAttributes>({
  name: 'rotary',
  shape([x, positions], attrs) {
    checkRotary(x!, positions, attrs);
    return [x!];
  },
  gradient: ({ inputs, attrs, gradient }) => [
    emitOne(rotaryOp, [gradient(0)!, ...inputs.slice(1)], { ...attrs, inverse: !attrs.inverse }),
  ],
});

/** Options of {@link rotary}. */
export interface RotaryOptions {
  /** Elements of a head, an even number. */
  readonly headSize: number;
  /** How many heads are rotated: the first of each row. */
  readonly heads: number;
  /** headSize / 2 inverse frequencies, in radians a position (see rotaryFrequencies). */
  readonly frequencies: readonly number[];
  /** i32 [B, T]; without it, token t is at position t. */
  readonly positions?: Tensor | undefined;
}

const takesRotary = is.takes('rotary', {
  x: is.tensor,
  options: is.options({
    headSize: is.count,
    heads: is.count,
    frequencies: is.list(is.finite),
    positions: is.optional(is.tensor),
  }),
});

/**
 * Rotates the first `heads` heads of the rows of x [B, T, n * headSize], f32 or bf16, and copies the others: of a packed
 * query, key and value row, queries and keys are rotated in one pass. At position p, the pair (a, b) of frequency f
 * becomes (a cos(p f) - b sin(p f), b cos(p f) + a sin(p f)); the angle is an f32 product, as PyTorch computes it, and the
 * result is rounded once.
 * @example
 * const frequencies = rotaryFrequencies(16, 10_000);
 * const y = rotary(graph.input('qkv', [1, 8, 192]), { headSize: 16, heads: 8, frequencies });
 * @throws {ApolloError} BAD_SHAPE where x or positions do not fit, BAD_ARGUMENT naming an argument that is wrong.
 */
export function rotary(x: Tensor, options: RotaryOptions): Tensor {
  takesRotary(x, options);
  const { headSize, heads, frequencies, positions } = options;
  check(headSize % 2 === 0, `rotary: headSize must be even, to rotate elements in pairs; got ${headSize}`);
  check(
    frequencies.length === headSize / 2,
    `rotary: heads of ${headSize} take ${headSize / 2} frequencies; got ${frequencies.length}`,
  );
  return emitOne(rotaryOp, positions ? [x, positions] : [x], {
    heads,
    headSize,
    frequencies: [...frequencies],
    inverse: false,
  });
}
