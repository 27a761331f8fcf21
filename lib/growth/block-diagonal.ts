/**
 * Doubling of a network's width without copies that share work (Staged Training, Shen et al., ICML 2022, section 4): two
 * networks side by side, which only the norms and the logits join. Matrices are row-major [inputs, outputs].
 */
import { check } from '../errors.js';
import * as is from '../is.js';
import { checkMatrix, type Matrix, type RowWise } from './width.js';

const takesBlockDiagonalRows = is.takes('blockDiagonalRows', {
  matrix: is.matrix,
  blocks: is.optional(is.list(is.count, { least: 1 })),
});

/**
 * `blockDiagonal` in pieces, for a caller that must not block: all zeros until rows are filled.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function blockDiagonalRows(matrix: Matrix, blocks?: readonly number[]): RowWise {
  takesBlockDiagonalRows(matrix, blocks);

  const { values, rows, columns } = matrix;
  const widths = blocks ?? [columns];
  checkMatrix(matrix);
  const width = widths.reduce((sum, block) => sum + block, 0);
  check(width === columns, `blockDiagonalRows: ${columns} columns in blocks of ${widths.join(', ')}.`);
  const result = new Float32Array(4 * values.length);
  return {
    values: result,
    rows: 2 * rows,
    fill(begin, end) {
      for (let i = begin; i < end; i++) {
        const [half, row] = i < rows ? [0, i] : [1, i - rows];
        let start = 0;
        for (const block of widths) {
          const from = row * columns + start;
          result.set(values.subarray(from, from + block), i * 2 * columns + 2 * start + half * block);
          start += block;
        }
      }
    },
  };
}

/**
 * diag(W, W): [in, out] -> [2 in, 2 out], zeros elsewhere. With `blocks`, the widths of matrices side by side (queries, keys
 * and values), each becomes a diagonal of its own.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function blockDiagonal(matrix: Matrix, blocks?: readonly number[]): Float32Array {
  const { values, rows, fill } = blockDiagonalRows(matrix, blocks);
  fill(0, rows);
  return values;
}

const takesMomentFactors = is.takes('momentFactors', { scale: is.anyNumber });

/**
 * What AdamW's moments are multiplied by when a gradient becomes `scale` times what it was: m is linear in it, v quadratic.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function momentFactors(scale: number): { readonly m: number; readonly v: number } {
  takesMomentFactors(scale);

  return { m: scale, v: scale * scale };
}
