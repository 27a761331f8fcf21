/** Arithmetic on shapes: sizes, broadcasting, axes. Pure functions; errors name the op that asked. */
import { ApolloError } from '../errors.js';
import * as is from '../is.js';
import type { DType } from './dtype.js';

/** Extents of a tensor, outermost first; `[]` is a scalar. */
export type Shape = readonly number[];

/** Shape and dtype of a tensor, before it has memory. */
export interface TensorType {
  /** Extents, outermost first; `[]` for a scalar. */
  readonly shape: Shape;
  /** Type of the elements: f32, bf16 or i32. */
  readonly dtype: DType;
}

const takesSize = is.takes('size', { shape: is.numericArray });

/**
 * Number of elements; 1 for a scalar.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function size(shape: Shape): number {
  takesSize(shape);

  let elements = 1;
  for (const extent of shape) elements *= extent;
  return elements;
}

const takesFormatShape = is.takes('formatShape', { shape: is.numericArray });

/**
 * `[2, 3]`, as error messages print it.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function formatShape(shape: Shape): string {
  takesFormatShape(shape);

  return `[${shape.join(', ')}]`;
}

/** `bf16 [2, 3]`. */
export function formatType(type: TensorType): string {
  return `${type.dtype} ${formatShape(type.shape)}`;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((extent, axis) => extent === b[axis]);
}

/** The error every shape rule throws: op first, then what was expected, what came, what to do. */
export function shapeError(op: string, message: string): ApolloError {
  return new ApolloError('BAD_SHAPE', `${op}: ${message}`);
}

/** Elements of a tensor at most, in the engine. */
const mostElements = 2 ** 50;

/** Throws BAD_SHAPE for a tensor that is too large for the engine. */
export function checkElements(op: string, shape: Shape): void {
  if (size(shape) <= mostElements) return;
  throw shapeError(op, `a tensor has at most 2^50 elements; got ${formatShape(shape)}`);
}

/** Throws BAD_SHAPE unless every extent is a positive integer. */
export function checkShape(op: string, shape: Shape): void {
  if (!shape.every((extent) => Number.isSafeInteger(extent) && extent > 0)) {
    throw shapeError(op, `every extent of a shape must be a positive integer; got ${formatShape(shape)}`);
  }
}

const takesBroadcastShapes = is.takes('broadcastShapes', { op: is.string, a: is.shape, b: is.shape });

/**
 * The common shape of two tensors, aligned at the last axis, where an extent of 1 stretches (numpy's rule).
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function broadcastShapes(op: string, a: Shape, b: Shape): Shape {
  takesBroadcastShapes(op, a, b);

  const rank = Math.max(a.length, b.length);
  const out: number[] = [];
  for (let i = 0; i < rank; i++) {
    const left = a[a.length - rank + i] ?? 1;
    const right = b[b.length - rank + i] ?? 1;
    if (left !== right && left !== 1 && right !== 1) {
      throw shapeError(
        op,
        `${formatShape(a)} and ${formatShape(b)} do not broadcast: ${left} meets ${right} ` +
          `(extents, aligned at the last axis, must be equal or 1; reshape one of them)`,
      );
    }
    out.push(left === 1 ? right : left);
  }
  return out;
}

/** `axis` counted from the front; negative ones count from the back. */
export function normalizeAxis(op: string, axis: number, rank: number): number {
  const normalized = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || normalized < 0 || normalized >= rank) {
    throw shapeError(op, `axis ${axis} does not exist in a tensor of ${rank} axes (use ${-rank} to ${rank - 1})`);
  }
  return normalized;
}

/** Sorted distinct axes; undefined means all of them. */
export function normalizeAxes(op: string, axes: number | readonly number[] | undefined, rank: number): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, axis) => axis);
  const list = (typeof axes === 'number' ? [axes] : axes).map((axis) => normalizeAxis(op, axis, rank));
  if (new Set(list).size !== list.length) throw shapeError(op, `axes ${formatShape(list)} name one axis twice`);
  return list.sort((a, b) => a - b);
}

/** `shape` without `axes`, or with extent 1 there when `keepDims`. */
export function reduceShape(shape: Shape, axes: readonly number[], keepDims: boolean): Shape {
  if (keepDims) return shape.map((extent, axis) => (axes.includes(axis) ? 1 : extent));
  return shape.filter((_, axis) => !axes.includes(axis));
}

/** Elements between neighbours along each axis of a contiguous row-major tensor. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}
