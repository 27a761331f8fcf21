/** Reductions (sum, mean, max, min, argmax, column sums), their opposite (broadcast) and softmax over the last axis. */

import * as is from '../../is.js';
import type { DType } from '../dtype.js';
import type { Tensor } from '../graph.js';
import {
  broadcastShapes,
  checkShape,
  formatShape,
  formatType,
  normalizeAxes,
  reduceShape,
  type Shape,
  sameShape,
  shapeError,
  size,
  type TensorType,
} from '../shape.js';
import { defineOp, emitOne } from './define.js';
import { reshape } from './shape.js';

export type ReduceKind = 'sum' | 'mean' | 'max' | 'min';

function floating(op: string, x: TensorType): void {
  if (x.dtype === 'i32') throw shapeError(op, `needs f32 or bf16 values; got ${formatType(x)} (cast it first)`);
}

export const reduceOp = defineOp<{ kind: ReduceKind; axes: readonly number[]; keepDims: boolean; dtype: DType }>({
  name: 'reduce',
  accumulable: [0],
  shape([x], { kind, axes, keepDims, dtype }) {
    if (kind === 'mean') floating(kind, x!);
    if (dtype !== x!.dtype && (x!.dtype !== 'bf16' || dtype !== 'f32')) {
      throw shapeError(
        kind,
        `of ${formatType(x!)} comes in its dtype${x!.dtype === 'bf16' ? ' or f32' : ''}; got dtype '${dtype}'`,
      );
    }
    return [{ shape: reduceShape(x!.shape, axes, keepDims), dtype }];
  },
  gradient({ inputs, outputs, attrs, gradient }) {
    const x = inputs[0]!;
    const kept = reduceShape(x.shape, attrs.axes, true);
    // Elementwise ops are called as methods, since their own gradients import the sums of this file. The cast comes before
    // the broadcast: x is the larger one.
    const small = reshape(gradient(0)!, kept).cast(x.dtype);
    if (attrs.kind === 'sum') return [broadcastTo(small, x.shape)];
    if (attrs.kind === 'mean') return [broadcastTo(small.scale(size(kept) / x.size), x.shape)];
    // max and min: elements that reach the extreme share the gradient.
    const reached = x.equal(reshape(outputs[0]!, kept).cast(x.dtype)).cast(x.dtype);
    return [reached.mul(small.div(sum(reached, attrs.axes, true)))];
  },
});

export const broadcastOp = defineOp<{ shape: Shape }>({
  name: 'broadcast',
  shape([x], { shape }) {
    checkShape('broadcastTo', shape);
    if (!sameShape(broadcastShapes('broadcastTo', x!.shape, shape), shape)) {
      throw shapeError('broadcastTo', `${formatShape(x!.shape)} does not stretch to ${formatShape(shape)}`);
    }
    return [{ shape, dtype: x!.dtype }];
  },
  gradient: ({ inputs, gradient, dtype }) => [unbroadcast(gradient(0)!, inputs[0]!.shape, dtype(0))],
});

/**
 * The gradient of what was stretched from `shape` to g's shape: g summed over the stretched axes, in `dtype` (f32 for
 * parameters, so that a long sum is not rounded to bf16 before it is added up).
 */
export function unbroadcast(g: Tensor, shape: Shape, dtype: DType): Tensor {
  if (sameShape(g.shape, shape)) return g;
  const offset = g.shape.length - shape.length;
  const axes = g.shape.map((_, axis) => axis).filter((axis) => axis < offset || shape[axis - offset] !== g.shape[axis]);
  const columns = axes.length === g.shape.length - 1 && !axes.includes(g.shape.length - 1);
  const wide = g.dtype === 'f32' || dtype === 'f32';
  return reshape(columns && wide ? columnSum(g) : sum(g, axes, false, wide ? 'f32' : g.dtype), shape);
}

/** Sum over all axes but the last, in f32: the gradient of a bias. */
export const columnSumOp = defineOp<Record<never, never>>({
  name: 'columnSum',
  accumulable: [0],
  shape([x]) {
    floating('columnSum', x!);
    if (x!.shape.length < 1) throw shapeError('columnSum', 'needs at least one axis; got a scalar');
    return [{ shape: [x!.shape.at(-1)!], dtype: 'f32' }];
  },
  gradient: ({ inputs, gradient }) => [broadcastTo(gradient(0)!, inputs[0]!.shape).cast(inputs[0]!.dtype)],
});

export const argmaxOp = defineOp<Record<never, never>>({
  name: 'argmax',
  shape([x]) {
    floating('argmax', x!);
    if (x!.shape.length < 1) throw shapeError('argmax', 'needs at least one axis; got a scalar');
    return [{ shape: x!.shape.slice(0, -1), dtype: 'i32' }];
  },
});

export const softmaxOp = defineOp<{ log: boolean }>({
  name: 'softmax',
  shape([x]) {
    floating('softmax', x!);
    if (x!.shape.length < 1) throw shapeError('softmax', 'needs at least one axis; got a scalar');
    return [x!];
  },
  gradient: ({ outputs, attrs, gradient }) => [emitOne(softmaxBackwardOp, [gradient(0)!, outputs[0]!], attrs)],
});

/** (dy, y) -> dx: y * (dy - sum(dy * y)), or dy - exp(y) * sum(dy) for the logarithm. */
export const softmaxBackwardOp = defineOp<{ log: boolean }>({
  name: 'softmaxBackward',
  shape: ([, y]) => [y!],
});

type Reducer = (x: Tensor, axes?: number | readonly number[], keepDims?: boolean, dtype?: DType) => Tensor;

function reducer(kind: ReduceKind): Reducer {
  const check = is.takes(kind, {
    x: is.tensor,
    axes: is.optional(is.either(is.number, is.axes)),
    keepDims: is.optional(is.boolean),
    dtype: is.optional(is.dtype),
  });
  return (x, axes, keepDims = false, type?: DType) => {
    check(x, axes, keepDims, type);
    const dtype = type ?? x.dtype;
    const list = normalizeAxes(kind, axes, x.shape.length);
    // Over axes of extent 1 nothing is left to do but the shape.
    if (list.every((axis) => x.shape[axis] === 1)) return reshape(x, reduceShape(x.shape, list, keepDims)).cast(dtype);
    return emitOne(reduceOp, [x], { kind, axes: list, keepDims, dtype });
  };
}

/**
 * Sum over `axes` (default: all). Sums run in f32; the result has x's dtype, or of bf16 also f32. So do the others.
 * @example
 * const total = sum(x); // a scalar
 * const rows = sum(x, [1], true);
 */
export const sum = reducer('sum');
/**
 * The mean over `axes` (default: all), as `sum`.
 * @example
 * const y = mean(x, [1]);
 */
export const mean = reducer('mean');
/**
 * The largest element over `axes` (default: all), as `sum`.
 * @example
 * const y = max(x, [1]);
 */
export const max = reducer('max');
/**
 * The smallest element over `axes` (default: all), as `sum`.
 * @example
 * const y = min(x, [1]);
 */
export const min = reducer('min');

const takesBroadcastTo = is.takes('broadcastTo', { x: is.tensor, shape: is.shape });

/**
 * x stretched to `shape` along axes of extent 1 and new leading axes.
 * @example
 * const y = broadcastTo(graph.input('row', [1, 4]), [8, 4]);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong; BAD_SHAPE for an extent that is not positive, or to
 * which x does not stretch.
 */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  takesBroadcastTo(x, shape);

  return sameShape(x.shape, shape) ? x : emitOne(broadcastOp, [x], { shape: [...shape] });
}

const takesColumnSum = is.takes('columnSum', { x: is.tensor });

/**
 * x [..., N] -> f32 [N], summed over all other axes.
 * @example
 * const bias = columnSum(x);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function columnSum(x: Tensor): Tensor {
  takesColumnSum(x);

  return emitOne(columnSumOp, [x], {});
}

const takesArgmax = is.takes('argmax', { x: is.tensor });

/**
 * Index (i32) of the largest element along the last axis; the first of equals.
 * @example
 * const classes = argmax(logits); // i32
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function argmax(x: Tensor): Tensor {
  takesArgmax(x);

  return emitOne(argmaxOp, [x], {});
}

const takesSoftmax = is.takes('softmax', { x: is.tensor });

/**
 * Softmax over the last axis.
 * @example
 * const probabilities = softmax(logits);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function softmax(x: Tensor): Tensor {
  takesSoftmax(x);

  return emitOne(softmaxOp, [x], { log: false });
}

const takesLogSoftmax = is.takes('logSoftmax', { x: is.tensor });

/**
 * Logarithm of softmax over the last axis.
 * @example
 * const y = logSoftmax(logits);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function logSoftmax(x: Tensor): Tensor {
  takesLogSoftmax(x);

  return emitOne(softmaxOp, [x], { log: true });
}
