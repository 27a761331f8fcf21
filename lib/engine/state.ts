/**
 * Tensors that outlive a run and are no parameters: what one program writes in place and the next run, or another
 * program, finds there. The keys and values of earlier positions, when text is generated.
 */
import { ApolloError, check } from '../errors.js';
import * as is from '../is.js';
import type { Device } from './device.js';
import { type DType, fromBfloat16, toBfloat16 } from './dtype.js';
import type { NativeBuffer, TypedArray } from './native.js';
import { translated } from './native-error.js';
import { formatType, type Shape, sameShape, size, type TensorType } from './shape.js';

interface Entry {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly buffer: NativeBuffer;
}

const takesStateStoreBind = is.takes('StateStore.bind', { name: is.string, type: is.tensorType });

const takesStateStoreWrite = is.takes('StateStore.write', {
  name: is.string,
  values: is.kind(
    'a Float32Array or an Int32Array',
    (value) => value instanceof Float32Array || value instanceof Int32Array,
  ),
});

const takesStateStoreRead = is.takes('StateStore.read', { name: is.string });

const takesNewStateStore = is.takes('new StateStore', { device: is.device });

/**
 * States by name, for `device.compile(graph, { states })`. One is made, as zeros, when the first program that names it
 * is compiled.
 * ```ts
 * const states = new StateStore(device);
 * const program = await device.compile(graph, { store, states });
 * ```
 */
export class StateStore {
  readonly #entries = new Map<string, Entry>();
  #disposed = false;

  constructor(
    /** The device that holds all states; programs that use them are compiled for it. */
    readonly device: Device,
  ) {
    takesNewStateStore(device);
  }

  /** In the order in which they were made. */
  names(): string[] {
    return [...this.#entries.keys()];
  }

  /** Bytes of all states. */
  get bytes(): number {
    let total = 0;
    for (const { buffer } of this.#entries.values()) total += buffer.bytes;
    return total;
  }

  /** The elements of a state; bf16 comes as f32. @throws ApolloError BAD_ARGUMENT for an unknown name, CLOSED. */
  async read(name: string): Promise<Float32Array | Int32Array> {
    takesStateStoreRead(name);

    const { buffer } = this.#entry(name);
    const values: TypedArray = await translated(() => buffer.read(0, buffer.elements));
    return values instanceof Uint16Array ? fromBfloat16(values) : values;
  }

  /**
   * Sets all elements; bf16 takes f32 values.
   * @throws ApolloError BAD_ARGUMENT for an unknown name, another length or another kind of array; CLOSED.
   */
  async write(name: string, values: Float32Array | Int32Array): Promise<void> {
    takesStateStoreWrite(name, values);

    const { buffer, ...type } = this.#entry(name);
    const wanted = type.dtype === 'i32' ? Int32Array : Float32Array;
    check(
      values instanceof wanted && values.length === buffer.elements,
      `state '${name}' ${formatType(type)} wants ${wanted.name} of ${buffer.elements}; got ${values?.constructor?.name} of ${values?.length}`,
    );
    const data = type.dtype === 'bf16' ? toBfloat16(values as Float32Array) : values;
    await translated(() => buffer.write(data, 0));
  }

  /** Frees all states; programs that use them throw CLOSED from now on. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const { buffer } of this.#entries.values()) buffer.dispose();
    this.#entries.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /**
   * Throws CLOSED after dispose() or when the device is closed.
   * @internal
   */
  checkOpen(): void {
    if (this.#disposed) throw new ApolloError('CLOSED', 'the states were disposed; make a new StateStore');
    this.device.checkOpen();
  }

  /**
   * The device buffer behind a state, for compilation; made if there is none yet.
   * @throws ApolloError BAD_ARGUMENT when it exists with another shape or dtype, OUT_OF_MEMORY, CLOSED.
   * @internal
   */
  bind(name: string, type: TensorType): NativeBuffer {
    takesStateStoreBind(name, type);

    this.checkOpen();
    const existing = this.#entries.get(name);
    if (existing) {
      check(
        sameShape(existing.shape, type.shape) && existing.dtype === type.dtype,
        `state '${name}' is ${formatType(existing)} in the store and ${formatType(type)} in the graph`,
      );
      return existing.buffer;
    }
    const buffer = this.device.createBuffer(type.dtype, size(type.shape));
    this.#entries.set(name, { shape: type.shape, dtype: type.dtype, buffer });
    return buffer;
  }

  #entry(name: string): Entry {
    this.checkOpen();
    const entry = this.#entries.get(name);
    check(entry, `state '${name}' is not there; the store has ${this.names().join(', ') || 'none yet'}`);
    return entry;
  }
}
