/** A NativeDevice that computes by the float64 interpreter: the engine above it can be tested without an addon. */
import { bytesPerElement, type DType, fromBfloat16, toBfloat16 } from '../../lib/engine/dtype.js';
import type {
  NativeBuffer,
  NativeDevice,
  NativeProgram,
  NativeProgramDesc,
  TypedArray,
} from '../../lib/engine/native.js';
import { size } from '../../lib/engine/shape.js';
import { interpret, referenceKernels } from './interpreter.js';

function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

function narrow(values: ArrayLike<number>, dtype: DType): TypedArray {
  if (dtype === 'i32') return Int32Array.from(values);
  return dtype === 'f32' ? Float32Array.from(values) : toBfloat16(Float32Array.from(values));
}

function widen(values: TypedArray): ArrayLike<number> {
  return values instanceof Uint16Array ? fromBfloat16(values) : values;
}

class ReferenceBuffer implements NativeBuffer {
  data: Float64Array | undefined;

  constructor(
    readonly dtype: DType,
    readonly elements: number,
    data: Float64Array = new Float64Array(elements),
  ) {
    this.data = data;
  }

  get bytes(): number {
    return this.elements * bytesPerElement[this.dtype];
  }

  memory(): Float64Array {
    if (!this.data) throw failure('APOLLO_CLOSED', 'the buffer has been disposed');
    return this.data;
  }

  async write(data: TypedArray, offset: number): Promise<void> {
    this.memory().set(Float64Array.from(widen(data)), offset);
  }

  async read(offset: number, count: number): Promise<TypedArray> {
    return narrow(this.memory().subarray(offset, offset + count), this.dtype);
  }

  async copyFrom(source: NativeBuffer): Promise<void> {
    this.memory().set((source as ReferenceBuffer).memory());
  }

  part(offset: number, count: number): ReferenceBuffer {
    return new ReferenceBuffer(this.dtype, count, this.memory().subarray(offset, offset + count));
  }

  dispose(): void {
    this.data = undefined;
  }
}

/** `missing`: ops this device has no kernel for. */
export function referenceDevice({ missing = [] }: { missing?: readonly string[] } = {}): NativeDevice {
  let open = true;
  const ops = Object.keys(referenceKernels).filter((op) => !missing.includes(op));
  const compile = async (desc: NativeProgramDesc, buffers: readonly NativeBuffer[]): Promise<NativeProgram> => {
    for (const { op } of desc.instructions) {
      if (!ops.includes(op)) throw failure('APOLLO_NO_KERNEL', `op '${op}' has no kernel on reference`);
    }
    const arena = desc.values.filter(({ storage }) => storage === 'arena');
    const unsharedBytes = arena.reduce((sum, { shape, dtype }) => sum + size(shape) * bytesPerElement[dtype], 0);
    const outputTypes = desc.values.filter(({ storage }) => storage === 'output').sort((a, b) => a.slot - b.slot);
    return {
      arenaBytes: unsharedBytes,
      unsharedBytes,
      async run(inputs, { profile, stopped, buffers: given = buffers }) {
        if (!open) throw failure('APOLLO_CLOSED', 'the device is closed');
        await Promise.resolve();
        if (stopped && Atomics.load(stopped, 0) !== 0) throw failure('ABORT_ERR', 'the run was cancelled');
        const memories = given.map((buffer) => (buffer as ReferenceBuffer).memory());
        const results = interpret(desc, memories, inputs.map(widen));
        const outputs = results.map((values, slot) => narrow(values, outputTypes[slot]!.dtype));
        return profile
          ? { outputs, elapsedMs: 0, waitedMs: 0, profile: new Float64Array(desc.instructions.length) }
          : { outputs, elapsedMs: 0, waitedMs: 0 };
      },
      dispose() {},
    };
  };
  return {
    info: () => ({
      kind: 'reference',
      name: 'float64 interpreter',
      threads: 1,
      totalBytes: 0,
      availableBytes: 0,
      freeBytes: 0,
      arenaBytes: 0,
      bufferBytes: 0,
      ops,
    }),
    createBuffer: (dtype, elements) => new ReferenceBuffer(dtype, elements),
    compile,
    async releaseArena() {},
    async close() {
      open = false;
    },
  };
}
