/** Ops that move elements and compute nothing: reshape, transpose, concat, slice, gather and scatter of rows. */

import * as is from '../../is.js';
import type { Tensor } from '../graph.js';
import { formatShape, formatType, normalizeAxis, type Shape, sameShape, shapeError, size } from '../shape.js';
import { defineOp, emitOne } from './define.js';

/** A view with another shape: no instruction, lowering lets both share memory. */
export const reshapeOp = defineOp<{ shape: Shape }>({
  name: 'reshape',
  virtual: true,
  shape: ([x], { shape }) => [{ shape, dtype: x!.dtype }],
  gradient: ({ inputs, gradient }) => [reshape(gradient(0)!, inputs[0]!.shape)],
});

export const transposeOp = defineOp<{ perm: readonly number[] }>({
  name: 'transpose',
  shape: ([x], { perm }) => [{ shape: perm.map((axis) => x!.shape[axis]!), dtype: x!.dtype }],
  gradient({ attrs, gradient }) {
    const inverse = attrs.perm.map((_, axis) => attrs.perm.indexOf(axis));
    return [transpose(gradient(0)!, inverse)];
  },
});

export const concatOp = defineOp<{ axis: number }>({
  name: 'concat',
  shape(inputs, { axis }) {
    const [first] = inputs;
    for (const x of inputs) {
      const fits =
        x.shape.length === first!.shape.length && x.shape.every((e, i) => i === axis || e === first!.shape[i]);
      if (!fits || x.dtype !== first!.dtype) {
        throw shapeError(
          'concat',
          `${formatType(first!)} and ${formatType(x)} must agree in dtype and all axes but ${axis}`,
        );
      }
    }
    const extent = inputs.reduce((total, x) => total + x.shape[axis]!, 0);
    return [{ shape: first!.shape.map((e, i) => (i === axis ? extent : e)), dtype: first!.dtype }];
  },
  gradient({ inputs, attrs, gradient, needs }) {
    let start = 0;
    return inputs.map((x, index) => {
      const starts = x.shape.map((_, axis) => (axis === attrs.axis ? start : 0));
      start += x.shape[attrs.axis]!;
      return needs(index) ? slice(gradient(0)!, starts, x.shape) : undefined;
    });
  },
});

export const sliceOp = defineOp<{ starts: readonly number[]; sizes: readonly number[] }>({
  name: 'slice',
  shape: ([x], { sizes }) => [{ shape: sizes, dtype: x!.dtype }],
  gradient: ({ inputs, attrs, gradient }) => [
    emitOne(unsliceOp, [gradient(0)!], { starts: attrs.starts, shape: inputs[0]!.shape }),
  ],
});

/** dy placed at `starts` in zeros of `shape`. */
export const unsliceOp = defineOp<{ starts: readonly number[]; shape: Shape }>({
  name: 'unslice',
  shape: ([dy], { shape }) => [{ shape, dtype: dy!.dtype }],
  gradient: ({ inputs, attrs, gradient }) => [slice(gradient(0)!, attrs.starts, inputs[0]!.shape)],
});

export const gatherRowsOp = defineOp<Record<never, never>>({
  name: 'gatherRows',
  shape([x, rows]) {
    if (x!.shape.length !== 2 || rows!.shape.length !== 1 || rows!.dtype !== 'i32') {
      throw shapeError('gatherRows', `needs x [M, C] and i32 rows [P]; got ${formatType(x!)} and ${formatType(rows!)}`);
    }
    return [{ shape: [rows!.shape[0]!, x!.shape[1]!], dtype: x!.dtype }];
  },
  gradient: ({ inputs, gradient }) => [scatterRows(gradient(0)!, inputs[1]!, inputs[0]!.shape[0]!)],
});

export const scatterRowsOp = defineOp<{ rows: number }>({
  name: 'scatterRows',
  shape([y, rows], attrs) {
    if (y!.shape.length !== 2 || rows!.dtype !== 'i32' || !sameShape(rows!.shape, [y!.shape[0]!])) {
      throw shapeError(
        'scatterRows',
        `needs y [P, C] and i32 rows [P]; got ${formatType(y!)} and ${formatType(rows!)}`,
      );
    }
    return [{ shape: [attrs.rows, y!.shape[1]!], dtype: y!.dtype }];
  },
  gradient: ({ inputs, gradient }) => [gatherRows(gradient(0)!, inputs[1]!)],
});

const takesReshape = is.takes('reshape', { x: is.tensor, shape: is.shape });

/**
 * x with another shape of as many elements; one extent may be -1 (what is left).
 * @example
 * const y = reshape(x, [6]);
 * @throws ApolloError BAD_SHAPE when the element counts differ.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  takesReshape(x, shape);

  const rest = shape.indexOf(-1);
  const known = size(shape.filter((_, axis) => axis !== rest));
  const target = rest < 0 ? [...shape] : shape.map((extent, axis) => (axis === rest ? x.size / known : extent));
  if (size(target) !== x.size || !target.every((extent) => Number.isInteger(extent) && extent > 0)) {
    throw shapeError(
      'reshape',
      `${formatShape(x.shape)} has ${x.size} elements and cannot become ${formatShape(shape)}`,
    );
  }
  if (sameShape(target, x.shape)) return x;
  const source = x.node.op === (reshapeOp as unknown) ? x.node.inputs[0]! : x;
  return sameShape(target, source.shape) ? source : emitOne(reshapeOp, [source], { shape: target });
}

const takesTranspose = is.takes('transpose', { x: is.tensor, perm: is.optional(is.axes) });

/**
 * x with its axes in the order `perm` (default: reversed).
 * @param x Of any shape and dtype.
 * @param perm Axis of x at each place of the result, each once; negative: from the back. Default: x's axes in reverse.
 * @example
 * const y = transpose(x); // axes reversed
 * const z = transpose(x, [1, 0]);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function transpose(x: Tensor, perm?: readonly number[]): Tensor {
  takesTranspose(x, perm);

  const order = perm ?? x.shape.map((_, axis) => x.shape.length - 1 - axis);
  const axes = order.map((axis) => normalizeAxis('transpose', axis, x.shape.length));
  if (axes.length !== x.shape.length || new Set(axes).size !== axes.length) {
    throw shapeError('transpose', `perm ${formatShape(order)} must name each axis of ${formatShape(x.shape)} once`);
  }
  if (axes.every((axis, index) => axis === index)) return x;
  return emitOne(transposeOp, [x], { perm: axes });
}

const takesConcat = is.takes('concat', { tensors: is.list(is.tensor), axis: is.number });

/**
 * Tensors joined along `axis` (negative: from the back).
 * @example
 * const y = concat([a, b], 0);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function concat(tensors: readonly Tensor[], axis: number): Tensor {
  takesConcat(tensors, axis);

  if (tensors.length === 0) throw shapeError('concat', 'needs at least one tensor; got none');
  if (tensors.length === 1) return tensors[0]!;
  return emitOne(concatOp, tensors, { axis: normalizeAxis('concat', axis, tensors[0]!.shape.length) });
}

const takesSlice = is.takes('slice', { x: is.tensor, starts: is.shape, sizes: is.shape });

/**
 * The block of x that starts at `starts` and has extents `sizes` (-1: up to the end), one entry per axis.
 * `slice(x, [0, 2], [-1, 3])` is numpy's `x[:, 2:5]`.
 * @example
 * const y = slice(x, [0, 1], [2, 2]); // x[0:2, 1:3]
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function slice(x: Tensor, starts: readonly number[], sizes: readonly number[]): Tensor {
  takesSlice(x, starts, sizes);

  const extents = sizes.map((extent, axis) => (extent === -1 ? (x.shape[axis] ?? 0) - (starts[axis] ?? 0) : extent));
  const fits =
    starts.length === x.shape.length &&
    extents.length === x.shape.length &&
    extents.every((extent, axis) => starts[axis]! >= 0 && extent > 0 && starts[axis]! + extent <= x.shape[axis]!);
  if (!fits) {
    throw shapeError(
      'slice',
      `starts ${formatShape(starts)} and sizes ${formatShape(sizes)} do not lie in ${formatShape(x.shape)}`,
    );
  }
  if (sameShape(extents, x.shape)) return x;
  return emitOne(sliceOp, [x], { starts: [...starts], sizes: extents });
}

const takesGatherRows = is.takes('gatherRows', { x: is.tensor, rows: is.tensor });

/**
 * Rows `rows` (i32 [P], each in [0, M)) of x [M, C] -> [P, C].
 * @example
 * const rows = gatherRows(x, graph.input('places', [2], 'i32'));
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function gatherRows(x: Tensor, rows: Tensor): Tensor {
  takesGatherRows(x, rows);

  return emitOne(gatherRowsOp, [x, rows], {});
}

const takesScatterRows = is.takes('scatterRows', { y: is.tensor, rows: is.tensor, rowCount: is.count });

/**
 * Zeros [rowCount, C] with row i of y [P, C] added at `rows[i]`.
 * @example
 * const y = scatterRows(x, graph.input('places', [2], 'i32'), 8); // 8 rows, 0 elsewhere
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function scatterRows(y: Tensor, rows: Tensor, rowCount: number): Tensor {
  takesScatterRows(y, rows, rowCount);

  return emitOne(scatterRowsOp, [y, rows], { rows: rowCount });
}
