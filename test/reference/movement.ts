/** Float64 definitions of ops that move elements: transpose, concat, slice, rows by index, embedding. */
import { stridesOf } from '../../lib/engine/shape.js';
import { forEachIndex, type ReferenceKernel, type ReferenceTensor } from './tensor.js';

/** Adds the rows of `y` into `table` where `rows` point. */
function scatter(y: ReferenceTensor, rows: ReferenceTensor, table: ReferenceTensor): void {
  const columns = table.shape.at(-1)!;
  rows.data.forEach((row, i) => {
    for (let c = 0; c < columns; c++) table.data[row * columns + c]! += y.data[i * columns + c]!;
  });
}

const gather: ReferenceKernel = ([table, rows], [y]) => {
  const columns = table!.shape.at(-1)!;
  rows!.data.forEach((row, i) => {
    if (row < 0 || row >= table!.shape[0]!) throw new Error(`index ${row} at ${i} is outside [0, ${table!.shape[0]})`);
    for (let c = 0; c < columns; c++) y!.data[i * columns + c] = table!.data[row * columns + c]!;
  });
};

/** Position in a tensor of `shape` of the region's `index` that begins at `starts`. */
function regionOffset(shape: readonly number[], starts: readonly number[], index: readonly number[]): number {
  return stridesOf(shape).reduce((offset, stride, axis) => offset + (starts[axis]! + index[axis]!) * stride, 0);
}

export const movementKernels: Record<string, ReferenceKernel> = {
  transpose([x], [y], { perm }) {
    const strides = stridesOf(x!.shape);
    forEachIndex(y!.shape, (index, flat) => {
      y!.data[flat] = x!.data[(perm as number[]).reduce((offset, axis, i) => offset + index[i]! * strides[axis]!, 0)]!;
    });
  },
  concat(inputs, [y], { axis }) {
    let start = 0;
    for (const x of inputs) {
      const starts = x.shape.map((_, i) => (i === axis ? start : 0));
      forEachIndex(x.shape, (index, flat) => (y!.data[regionOffset(y!.shape, starts, index)] = x.data[flat]!));
      start += x.shape[axis as number]!;
    }
  },
  slice: ([x], [y], { starts }) =>
    forEachIndex(
      y!.shape,
      (index, flat) => (y!.data[flat] = x!.data[regionOffset(x!.shape, starts as number[], index)]!),
    ),
  unslice: ([dy], [dx], { starts }) =>
    forEachIndex(
      dy!.shape,
      (index, flat) => (dx!.data[regionOffset(dx!.shape, starts as number[], index)] = dy!.data[flat]!),
    ),
  gatherRows: gather,
  embedding: gather,
  scatterRows: ([y, rows], [x]) => scatter(y!, rows!, x!),
  embeddingBackward: ([dy, ids], [dTable]) => scatter(dy!, ids!, dTable!),
};
