/**
 * Doubling of a network's width without copies that share work (Staged Training, Shen et al., ICML 2022, section 4): two
 * networks side by side, which only the norms and the logits join. Matrices are row-major [inputs, outputs].
 */
import { check } from '../errors.js';
import * as is from '../is.js';
import { checkMatrix, type Matrix } from './width.js';

const takesBlockDiagonal = is.takes('blockDiagonal', {
  matrix: is.matrix,
  blocks: is.optional(is.list(is.count, { least: 1 })),
});

/**
 * diag(W, W): [in, out] -> [2 in, 2 out], zeros elsewhere. With `blocks`, the widths of matrices side by side (queries, keys
 * and values), each becomes a diagonal by itself.
 * @param matrix W, with its numbers of rows and columns.
 * @param blocks Widths of the matrices side by side, which sum to the columns of W. Default: one matrix.
 * @example
 * const grown = blockDiagonal({ values: Float32Array.of(1, 2, 3, 4), rows: 2, columns: 2 }); // 4 x 4
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function blockDiagonal(matrix: Matrix, blocks?: readonly number[]): Float32Array {
  takesBlockDiagonal(matrix, blocks);

  const { values, rows, columns } = matrix;
  const widths = blocks ?? [columns];
  checkMatrix(matrix);
  const width = widths.reduce((sum, block) => sum + block, 0);
  check(width === columns, `blockDiagonal: ${columns} columns in blocks of ${widths.join(', ')}.`);
  const result = new Float32Array(4 * values.length);
  for (let i = 0; i < 2 * rows; i++) {
    const [half, row] = i < rows ? [0, i] : [1, i - rows];
    let start = 0;
    for (const block of widths) {
      const from = row * columns + start;
      result.set(values.subarray(from, from + block), i * 2 * columns + 2 * start + half * block);
      start += block;
    }
  }
  return result;
}

const takesMomentFactors = is.takes('momentFactors', { scale: is.anyNumber });

/**
 * Factors on AdamW's moments when a gradient is multiplied by `scale`: m is linear in it, v quadratic.
 * @param scale Factor on the gradient.
 * @example
 * momentFactors(0.5) // gradients that are half as large
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function momentFactors(scale: number): {
  /** Factor on the mean of gradients: `scale`. */
  readonly m: number;
  /** Factor on the mean of squared gradients: `scale` squared. */
  readonly v: number;
} {
  takesMomentFactors(scale);

  return { m: scale, v: scale * scale };
}
