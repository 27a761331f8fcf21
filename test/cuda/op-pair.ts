/** One native op with given operands on two devices, the CPU and the GPU or its emulator: what tests of kernels are made of. */
import { BufferProgram } from '../../lib/engine/buffer-program.js';
import { type Device, nativeOf, openDevice } from '../../lib/engine/device.js';
import { type DType, fromBfloat16, toBfloat16 } from '../../lib/engine/dtype.js';
import type { Attribute, TypedArray } from '../../lib/engine/native.js';
import { translated } from '../../lib/engine/native-error.js';
import { relativeError } from '../cases/compare.js';
import { cudaDevices } from '../device.js';

export interface Operand {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Its content before the run. An output that is only written needs none: it starts as NaN, or -1e9. */
  readonly values?: Float32Array | Int32Array;
}

export interface OpCall {
  readonly op: string;
  readonly attrs?: Readonly<Record<string, Attribute>>;
  readonly inputs: readonly Operand[];
  readonly outputs: readonly Operand[];
}

/** Numbers in [low, high), a pure function of `seed`. */
export function noise(count: number, seed: number, low = -1, high = 1): Float32Array {
  let state = seed * 0x9e3779b9 + 1;
  return Float32Array.from({ length: count }, () => {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return low + ((high - low) * ((word ^ (word >>> 14)) >>> 0)) / 4294967296;
  });
}

const elements = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** An operand filled with noise, rounded to its dtype. */
export function noisy(dtype: DType, shape: readonly number[], seed: number, low = -1, high = 1): Operand {
  const values = noise(elements(shape), seed, low, high);
  if (dtype === 'i32') return { dtype, shape, values: Int32Array.from(values, Math.floor) };
  return { dtype, shape, values: dtype === 'bf16' ? fromBfloat16(toBfloat16(values)) : values };
}

/**
 * The outputs' elements after `runs` runs; bf16 as bits. Later runs go through a CUDA graph. `compiled`: what is done
 * between compilation and the first run.
 */
export async function runOp(
  device: Device,
  call: OpCall,
  runs = 1,
  compiled: () => Promise<unknown> = async () => undefined,
): Promise<TypedArray[]> {
  const program = new BufferProgram();
  const place = async ({ dtype, shape, values }: Operand) => {
    const buffer = nativeOf(device).createBuffer(dtype, elements(shape));
    if (buffer.elements > 0) {
      const unset =
        dtype === 'i32' ? new Int32Array(buffer.elements).fill(-1e9) : new Float32Array(buffer.elements).fill(NaN);
      const start = values ?? unset;
      await buffer.write(dtype === 'bf16' ? toBfloat16(start as Float32Array) : start, 0);
    }
    return { buffer, value: program.buffer(buffer, shape) };
  };
  const inputs = await Promise.all(call.inputs.map(place));
  const outputs = await Promise.all(call.outputs.map(place));
  program.add(
    call.op,
    inputs.map(({ value }) => value),
    outputs.map(({ value }) => value),
    call.attrs,
  );
  const native = await program.compile(nativeOf(device));
  try {
    await compiled();
    for (let run = 0; run < runs; run++) await translated(() => native.run([], { profile: false }));
    return await Promise.all(outputs.map(({ buffer }) => buffer.read(0, buffer.elements)));
  } finally {
    native.dispose();
    for (const { buffer } of [...inputs, ...outputs]) buffer.dispose();
  }
}

/** bf16 bits as numbers, others as they are. */
export const numbers = (array: TypedArray): Float32Array | Int32Array =>
  array instanceof Uint16Array ? fromBfloat16(array) : array;

/** What tap's test object and its shim offer. */
interface Checks {
  ok(value: unknown, message?: string): unknown;
}

const emulated = process.env.APOLLO_TEST_DEVICE !== 'cuda';

/** Why there is no GPU, not even an emulated one; false when there is. What tap takes as `skip`. */
export const noCuda = cudaDevices[0]!.skip;
/** The same for tests that need the emulator. */
export const noEmulated = emulated ? noCuda : 'for the emulator';

export class Pair {
  private constructor(
    readonly cpu: Device,
    readonly cuda: Device,
  ) {}

  /** `gpuBytes`: the memory of the emulated GPU, where a kernel's plan depends on it. */
  static async open({ gpuBytes }: { readonly gpuBytes?: number } = {}): Promise<Pair> {
    if (gpuBytes) process.env.APOLLO_EMULATOR_BYTES = `${gpuBytes}`;
    // All of it, without the part that is kept back for CUDA itself.
    const cuda = await cudaDevices[0]!.open(gpuBytes ? { memoryLimitBytes: gpuBytes } : {});
    delete process.env.APOLLO_EMULATOR_BYTES;
    return new Pair(await openDevice({ threads: 2 }), cuda);
  }

  /** The error of both for a call that must fail: code and message. */
  async errors(call: OpCall): Promise<{ cpu: string; cuda: string }> {
    const [cpu, cuda] = await Promise.all(
      [this.cpu, this.cuda].map((device) =>
        runOp(device, call).then(
          () => 'no error',
          (error: Error & { code: string }) => `${error.code}: ${error.message}`,
        ),
      ),
    );
    return { cpu: cpu!, cuda: cuda! };
  }

  async close(): Promise<void> {
    await this.cpu.close();
    await this.cuda.close();
  }

  /**
   * Every output of the GPU is within `tolerance` of the CPU's, and is the same bits in a second run; in the emulator
   * with the threads of a block in the opposite order. Returns the outputs of the GPU, bf16 as numbers.
   */
  async agree(
    t: object,
    name: string,
    call: OpCall,
    { runs = 1, tolerance = 2e-6, bf16 = 8e-3 } = {},
  ): Promise<(Float32Array | Int32Array)[]> {
    const checks = t as Checks; // tap's test object; its own types are wider
    const expected = await runOp(this.cpu, call, runs);
    const found = await runOp(this.cuda, call, runs);
    process.env.APOLLO_EMULATOR_ORDER = 'reverse';
    const again = await runOp(this.cuda, call, runs);
    process.env.APOLLO_EMULATOR_ORDER = 'forward';
    found.forEach((output, i) => {
      const error = relativeError(numbers(output), numbers(expected[i]!));
      const allowed = output instanceof Uint16Array ? bf16 : tolerance;
      checks.ok(error <= allowed, `${name}: output ${i} is off by ${error.toExponential(1)}, allowed ${allowed}`);
      checks.ok(
        Buffer.compare(bytesOf(output), bytesOf(again[i]!)) === 0,
        `${name}: output ${i} has the same bits again`,
      );
    });
    return found.map(numbers);
  }
}

function bytesOf(array: TypedArray): Buffer {
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength);
}
