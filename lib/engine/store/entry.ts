/** What a store holds of one parameter. */
import type { BufferKind } from '../lowering.js';
import type { NativeBuffer, NativeProgram } from '../native.js';
import { type Shape, size } from '../shape.js';

/** A parameter of a {@link ParameterStore}. */
export interface ParameterDeclaration {
  /** Unique in its store; programs and optimizers refer to the parameter by it. */
  readonly name: string;
  /** Extents, outermost first, each a positive whole number; its value is row-major. */
  readonly shape: Shape;
  /** Keep a bf16 copy when the store's precision is bf16 (matrices; not for vectors, which stay f32). */
  readonly workingCopy: boolean;
  /** Whether weight decay applies. */
  readonly decay: boolean;
  /**
   * For a hidden layer's weights [inputs, outputs]: the widths of the matrices that are side by side in its columns, e.g.
   * [C, C, C] of fused queries, keys and values, or [outputs]. Absent for embeddings, heads and vectors.
   */
  readonly matrices?: readonly number[] | undefined;
}

export interface Entry {
  readonly spec: ParameterDeclaration;
  readonly elements: number;
  /** Made when first needed, zeros. */
  readonly buffers: Partial<Record<BufferKind, NativeBuffer>>;
  /** The optimizer's, by slot; likewise. */
  readonly slots: Map<string, NativeBuffer>;
  refresh?: Promise<NativeProgram>;
  count: number;
  removed: boolean;
}

export const newEntry = (spec: ParameterDeclaration): Entry => ({
  spec,
  elements: size(spec.shape),
  buffers: {},
  slots: new Map(),
  count: 0,
  removed: false,
});

export const buffersOf = ({ buffers, slots }: Entry): NativeBuffer[] => [...Object.values(buffers), ...slots.values()];
