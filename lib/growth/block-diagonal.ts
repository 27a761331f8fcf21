/**
 * Doubling of a network's width without copies that share work (Staged Training, Shen et al., ICML 2022, section 4): two
 * networks side by side, which only the norms and the logits join. Matrices are row-major [inputs, outputs].
 */
import { check } from '../errors.js';
import * as is from '../is.js';
import { checkMatrix, type Matrix } from './width.js';

const takesBlockDiagonal = is.takes('blockDiagonal', { matrix: is.matrix, parts: is.count });

/**
 * diag(W, W): [in, out] -> [2 in, 2 out], zeros elsewhere. With `parts` blocks of columns side by side (queries, keys and
 * values) each block becomes a diagonal of its own.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function blockDiagonal(matrix: Matrix, parts = 1): Float32Array {
  takesBlockDiagonal(matrix, parts);

  const { values, rows, columns } = matrix;
  checkMatrix(matrix);
  const block = columns / parts;
  check(Number.isInteger(block), `blockDiagonal: ${columns} columns in ${parts} parts.`);
  const result = new Float32Array(4 * values.length);
  for (let i = 0; i < 2 * rows; i++) {
    const [half, row] = i < rows ? [0, i] : [1, i - rows];
    for (let part = 0; part < parts; part++) {
      const from = row * columns + part * block;
      result.set(values.subarray(from, from + block), i * 2 * columns + part * 2 * block + half * block);
    }
  }
  return result;
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
