/** Operands of reference kernels: shape and float64 data, and the few index helpers they share. */
import type { Attribute } from '../../lib/engine/native.js';
import { type Shape, size, stridesOf } from '../../lib/engine/shape.js';

export interface ReferenceTensor {
  readonly shape: Shape;
  readonly data: Float64Array;
}

export type ReferenceAttributes = Readonly<Record<string, Attribute>>;

/** Fills `outputs` (zeroed, except for ops that work in place) from `inputs`. */
export type ReferenceKernel = (
  inputs: readonly ReferenceTensor[],
  outputs: readonly ReferenceTensor[],
  attrs: ReferenceAttributes,
) => void;

/** Extent of the last axis, and how many rows of it there are. */
export function rowsOf({ shape, data }: ReferenceTensor): { rows: number; columns: number } {
  const columns = shape.at(-1) ?? 1;
  return { rows: data.length / columns, columns };
}

/** Calls `body` with every index of `shape` in row-major order (the array is reused). */
export function forEachIndex(shape: Shape, body: (index: readonly number[], flat: number) => void): void {
  const index = new Array<number>(shape.length).fill(0);
  const total = size(shape);
  for (let flat = 0; flat < total; flat++) {
    body(index, flat);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis]! += 1;
      if (index[axis]! < shape[axis]!) break;
      index[axis] = 0;
    }
  }
}

/** Position in `shape` of an index of a shape it broadcasts to. */
export function broadcastOffset(shape: Shape, index: readonly number[]): number {
  const strides = stridesOf(shape);
  const lead = index.length - shape.length;
  return shape.reduce((offset, extent, axis) => offset + (extent === 1 ? 0 : index[lead + axis]! * strides[axis]!), 0);
}
