/** Reductions (sum, mean, max, min, argmax, column sums), their opposite (broadcast) and softmax over the last axis. */
import type { Tensor } from '../graph.js';
import {
  broadcastShapes, formatShape, formatType, normalizeAxes, reduceShape, sameShape, type Shape, shapeError, size, type TensorType,
} from '../shape.js';
import { defineOp, emitOne } from './define.js';
import { cast, div, equal, mul, scale } from './elementwise.js';
import { reshape } from './shape.js';

export type ReduceKind = 'sum' | 'mean' | 'max' | 'min';

function floating(op: string, x: TensorType): void {
  if (x.dtype === 'i32') throw shapeError(op, `needs f32 or bf16 values; got ${formatType(x)} (cast it first)`);
}

export const reduceOp = defineOp<{ kind: ReduceKind; axes: readonly number[]; keepDims: boolean }>({
  name: 'reduce',
  accumulable: [0],
  shape([x], { kind, axes, keepDims }) {
    floating(kind, x!);
    return [{ shape: reduceShape(x!.shape, axes, keepDims), dtype: x!.dtype }];
  },
  gradient({ inputs, outputs, attrs, gradient }) {
    const x = inputs[0]!;
    const kept = reduceShape(x.shape, attrs.axes, true);
    const g = broadcastTo(reshape(gradient(0)!, kept), x.shape);
    if (attrs.kind === 'sum') return [g];
    if (attrs.kind === 'mean') return [scale(g, size(kept) / x.size)];
    // max and min: elements that reach the extreme share the gradient.
    const reached = cast(equal(x, reshape(outputs[0]!, kept)), x.dtype);
    return [mul(g, div(reached, sum(reached, attrs.axes, true)))];
  },
});

export const broadcastOp = defineOp<{ shape: Shape }>({
  name: 'broadcast',
  shape([x], { shape }) {
    if (!sameShape(broadcastShapes('broadcastTo', x!.shape, shape), shape)) {
      throw shapeError('broadcastTo', `${formatShape(x!.shape)} does not stretch to ${formatShape(shape)}`);
    }
    return [{ shape, dtype: x!.dtype }];
  },
  gradient({ inputs, gradient }) {
    const [x, g] = [inputs[0]!, gradient(0)!];
    const offset = g.shape.length - x.shape.length;
    const stretched = (axis: number) => axis < offset || x.shape[axis - offset] !== g.shape[axis];
    return [reshape(sum(g, g.shape.map((_, axis) => axis).filter(stretched)), x.shape)];
  },
});

/** Sum over all axes but the last, in f32: the gradient of a bias. */
export const columnSumOp = defineOp<Record<never, never>>({
  name: 'columnSum',
  accumulable: [0],
  shape([x]) {
    floating('columnSum', x!);
    if (x!.shape.length < 1) throw shapeError('columnSum', 'needs at least one axis; got a scalar');
    return [{ shape: [x!.shape.at(-1)!], dtype: 'f32' }];
  },
  gradient: ({ inputs, gradient }) => [cast(broadcastTo(gradient(0)!, inputs[0]!.shape), inputs[0]!.dtype)],
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

function reducer(kind: ReduceKind) {
  return (x: Tensor, axes?: number | readonly number[], keepDims = false): Tensor => {
    const list = normalizeAxes(kind, axes, x.shape.length);
    // Over axes of extent 1 nothing is left to do but the shape.
    if (list.every((axis) => x.shape[axis] === 1)) return reshape(x, reduceShape(x.shape, list, keepDims));
    return emitOne(reduceOp, [x], { kind, axes: list, keepDims });
  };
}

/** Sum over `axes` (default: all). The result has x's dtype; sums run in f32. */
export const sum = reducer('sum');
export const mean = reducer('mean');
export const max = reducer('max');
export const min = reducer('min');

/** x stretched to `shape` along axes of extent 1 and new leading axes. */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? x : emitOne(broadcastOp, [x], { shape: [...shape] });
}

/** x [..., N] -> f32 [N], summed over all other axes. */
export function columnSum(x: Tensor): Tensor {
  return emitOne(columnSumOp, [x], {});
}

/** Index (i32) of the largest element along the last axis; the first of equals. */
export function argmax(x: Tensor): Tensor {
  return emitOne(argmaxOp, [x], {});
}

/** Softmax over the last axis. */
export function softmax(x: Tensor): Tensor {
  return emitOne(softmaxOp, [x], { log: false });
}

/** Logarithm of softmax over the last axis. */
export function logSoftmax(x: Tensor): Tensor {
  return emitOne(softmaxOp, [x], { log: true });
}
