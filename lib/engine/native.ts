/**
 * Types of the native addon, and its loader. Only lib/engine uses this file; everything above speaks to
 * Device, Buffer and Program.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { ApolloError } from '../errors.js';
import { moduleInPackage } from '../package-folder.js';
import type { DType } from './dtype.js';

export type TypedArray = Float32Array | Int32Array | Uint16Array;

/** One attribute of an op: number, flag, text or list of numbers. */
export type Attribute = number | boolean | string | readonly number[];

export interface NativeValue {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /**
   * Where the value lives. `arena`: planned by lifetime. `buffer`: the persistent buffer `buffers[slot]`. `input`:
   * typed array `inputs[slot]` of each run. `output`: returned as typed array `outputs[slot]` of each run. `alias`:
   * the memory of value `slot`, seen with this shape (reshape).
   */
  readonly storage: 'arena' | 'buffer' | 'input' | 'output' | 'alias';
  readonly slot: number;
}

export interface NativeInstruction {
  readonly op: string;
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly attrs: Readonly<Record<string, Attribute>>;
}

export interface NativeProgramDesc {
  readonly values: readonly NativeValue[];
  readonly instructions: readonly NativeInstruction[];
}

export interface NativeBuffer {
  readonly dtype: DType;
  readonly elements: number;
  readonly bytes: number;
  /** Copies `data` (copied at the call) into elements [offset, offset + data.length); ordered with runs. */
  write(data: TypedArray, offset: number): Promise<void>;
  /** Elements [offset, offset + count) as of the queue's order; bf16 comes as its bits in a Uint16Array. */
  read(offset: number, count: number): Promise<TypedArray>;
  /** Copies all elements of `source` (same dtype and length) into this buffer, on the device. */
  copyFrom(source: NativeBuffer): Promise<void>;
  /** Elements [offset, offset + count), in the same memory, which lives as long as any part of it. */
  part(offset: number, count: number): NativeBuffer;
  dispose(): void;
}

export interface NativeRunResult {
  readonly outputs: TypedArray[];
  /** Time on the engine's thread from first to last instruction. */
  readonly elapsedMs: number;
  /** For how long the engine's thread had nothing to do before. */
  readonly waitedMs: number;
  /** Nanoseconds per instruction, only when profiling was asked for. */
  readonly profile?: Float64Array;
}

export interface NativeProgram {
  readonly arenaBytes: number;
  /** Sum of arena values without sharing: what the planner saved is the difference. */
  readonly unsharedBytes: number;
  /**
   * `stopped[0] !== 0` (shared memory) stops between instructions, or only before the first one when the run is `whole`, and
   * rejects with code ABORT_ERR; a run that fails sets it. `buffers`: by slot, of the dtypes and lengths of those given to
   * `compile`, in place of them.
   */
  run(
    inputs: readonly TypedArray[],
    options: {
      profile: boolean;
      stopped?: Int32Array;
      whole?: boolean;
      buffers?: readonly NativeBuffer[];
      /** Learns when its gradients are final: the run is the last one that adds to them. */
      exchange?: NativeExchange;
    },
  ): Promise<NativeRunResult>;
  dispose(): void;
}

/** What a device says of itself, see {@link Device.info}. Sizes are bytes. */
export interface DeviceInfo {
  /** `cpu` or `cuda`. */
  readonly kind: string;
  /** The processor's or the GPU's name. */
  readonly name: string;
  /** Worker threads of the CPU; 1 on a GPU. */
  readonly threads: number;
  /** What the engine may use. */
  readonly totalBytes: number;
  /** What of it is left. */
  readonly availableBytes: number;
  /** What the machine has free now, whoever uses the rest. */
  readonly freeBytes: number;
  /** The arena that all programs share. */
  readonly arenaBytes: number;
  /** Parameters, moments and other buffers. */
  readonly bufferBytes: number;
  /** The names of the ops that have kernels, as `matmul`. */
  readonly ops: readonly string[];
}

export interface NativeDevice {
  info(): DeviceInfo;
  createBuffer(dtype: DType, elements: number): NativeBuffer;
  compile(desc: NativeProgramDesc, buffers: readonly NativeBuffer[]): Promise<NativeProgram>;
  /** Frees the arena; the next run of a program reserves another one. */
  releaseArena(): Promise<void>;
  close(): Promise<void>;
}

/** Result of an exchange. */
export interface NativeExchanged {
  /** Weight of all ranks. */
  readonly weight: number;
  readonly sums: number[];
  /** Ranks that were stopped or had failed; where there is one the gradients are worth nothing. */
  readonly stopped: number;
  readonly failed: number;
  /** Bytes of gradients that all ranks together have sent. */
  readonly bytes: number;
  /** For how long this rank exchanged, or waited for other ranks, and for how long of that its device waited. */
  readonly busyMs: number;
  readonly uncoveredMs: number;
}

/** An exchange that is queued. It ends behind `finish`, which must be called. */
export interface NativeExchange {
  /** Queues its end: nothing adds to the gradients any more. */
  finish(): Promise<NativeExchanged>;
}

/** How values travel between ranks. */
export type WirePrecision = 'f32' | 'bf16';

/** Divides a buffer: the element at which each rank's part starts, and the end of the last part. */
export type Bounds = readonly number[];

/**
 * The ranks of a group. Its calls are collective, are queued on the device as runs are, and run on the group's own thread.
 * Sums are f32 and go by the order of the ranks, on GPUs by that of NCCL, which rounds to the precision on the way. A number that is returned is of bytes, which all ranks together have sent.
 */
export interface NativeGroup {
  readonly rank: number;
  readonly size: number;
  sum(values: readonly number[]): Promise<number[]>;
  /** The text of rank `root`. */
  broadcast(text: string, root: number): Promise<string>;
  barrier(): Promise<unknown>;
  /** Sums f32 buffers, on all ranks. */
  allReduce(buffers: readonly NativeBuffer[], precision: WirePrecision): Promise<number>;
  /** Sums f32 buffers; each rank gets its part, and keeps what it had elsewhere. `bounds`: of each; default: equal parts. */
  reduceScatter(
    buffers: readonly NativeBuffer[],
    bounds: readonly Bounds[] | undefined,
    precision: WirePrecision,
  ): Promise<number>;
  /** Each rank's part of the buffers, on all ranks. `stopped`: a flag (RunGroup.flag), equal on all ranks; ABORT_ERR where set. */
  allGather(buffers: readonly NativeBuffer[], bounds?: readonly Bounds[], stopped?: Int32Array): Promise<number>;
  /** The buffers of rank `root`. */
  broadcastBuffer(buffers: readonly NativeBuffer[], root: number): Promise<unknown>;
  /** Sums f64 values whose bits are in an i32 buffer, on all ranks. `stopped`: as in allGather. */
  sumDoubles(buffer: NativeBuffer, stopped?: Int32Array): Promise<unknown>;
  /**
   * The f32 buffers of all ranks, `counts` elements each, one behind the other: on rank `root`, or on all; elsewhere nothing. A
   * rank with no elements needs no buffer.
   */
  collect(own: NativeBuffer | undefined, counts: readonly number[], root?: number): Promise<Float32Array>;
  /**
   * Makes every gradient the mean over the ranks by weight, in place, and sums `sums`, unless the flag `stopped` (RunGroup.flag)
   * of any rank is not 0 at the start or the end: then the flag `refused` is set, as it is by a failure. With `bounds` each
   * rank gets its part of the gradients only; `shared` buffers are averaged on all ranks, in f32.
   */
  exchange(
    gradients: readonly NativeBuffer[],
    options: {
      shared: readonly NativeBuffer[];
      bounds?: readonly Bounds[] | undefined;
      precision: WirePrecision;
      weight: number;
      sums: readonly number[];
      stopped: Int32Array;
      refused: Int32Array;
      /** `refused` of the exchange before: where it is set by then, this one is not done, on any rank. */
      before: Int32Array;
    },
  ): NativeExchange;
  /** Ends the group when all ranks have come here. */
  close(): Promise<void>;
}

export interface NativeInfo {
  readonly version: string;
  readonly compiler: string;
  readonly oneDnn: string;
  /** Instruction set oneDNN may use, e.g. `avx512_core_amx`. */
  readonly oneDnnIsa: string;
  /** Instruction set of our own kernels, e.g. `AVX3_ZEN4`. */
  readonly kernelIsa: string;
  /** Whether bf16 matmuls have hardware support here (AVX512-BF16 or AMX). */
  readonly fastBf16: boolean;
  readonly cpuName: string;
  readonly logicalCores: number;
}

/** The CUDA backend as this machine has it. */
export interface CudaInfo {
  /** The library that is, or would be, loaded. */
  readonly file: string;
  readonly built: boolean;
  readonly devices: readonly { readonly name: string; readonly totalBytes: number; readonly capability: string }[];
  /** Version and file of cuBLASLt. */
  readonly cublasLt?: string;
  /** Why no GPU can be used, and what to do. */
  readonly missing?: string;
}

/** The communicator over MPI as this machine has it. */
export interface MpiInfo {
  /** The library that is, or would be, loaded. */
  readonly file: string;
  /** Name and version of the MPI library. */
  readonly library?: string;
  /** Why there is none, and what to do. */
  readonly missing?: string;
}

/** The communicator over NCCL as this machine has it. */
export interface NcclInfo {
  /** The library that is, or would be, loaded. */
  readonly file: string;
  /** Version and file of NCCL. */
  readonly library?: string;
  /** Why there is none, and what to do. */
  readonly missing?: string;
}

export interface NativeDeviceOptions {
  readonly kind: 'cpu' | 'cuda';
  /** CPU worker threads. */
  readonly threads: number;
  /** Which GPU. */
  readonly index: number;
  /** f32 products may round their inputs to TF32. */
  readonly tf32: boolean;
  /** File of the algorithms chosen for matrix products; empty: none are timed. */
  readonly matmulCache: string;
  readonly memoryLimitBytes: number;
}

export interface NativeAddon {
  info(): NativeInfo;
  cudaInfo(): CudaInfo;
  mpiInfo(): MpiInfo;
  ncclInfo(): NcclInfo;
  /** Names a new group of ranks on GPUs, in the process of its first rank. */
  ncclUniqueId(): string;
  openDevice(options: NativeDeviceOptions): NativeDevice;
  /**
   * Joins the ranks that a launcher has started; once in a process. On the CPU over MPI, which knows rank and size; on a GPU
   * over NCCL, with an `id` that all ranks have, or one that travels over MPI.
   */
  joinGroup(
    device: NativeDevice,
    place: { readonly rank: number; readonly size: number; readonly id?: string | undefined },
  ): Promise<NativeGroup>;
  /** Philox4x32-10, for tests of the counter scheme. */
  philox(counter: readonly number[], key: readonly number[]): number[];
  /** The memory planner alone: lifetimes [first, last] inclusive; returns offsets and the arena's size. */
  planMemory(items: readonly { bytes: number; first: number; last: number }[]): {
    offsets: number[];
    arenaBytes: number;
  };
}

/**
 * How long an idle OpenMP thread spins before it sleeps, unless the environment says otherwise. The default of GNU's
 * library, milliseconds, keeps a core busy for nothing whenever other programs use the machine, and generation, whose
 * products are short, loses half its speed to it (docs/generation.md); training is as fast with either.
 */
export const defaultSpinCount = '3000';

/**
 * GNU's OpenMP reads its settings from the environment once, when it is loaded with the addon, and has no other way to
 * set this one. So the variable is there while the addon is loaded and gone afterwards: the host program and its child
 * processes keep the environment they had. A worker has a copy of the environment that the library does not see: where
 * the main thread has not loaded the engine before, the library's own default holds there.
 */
function withSpinCount<T>(load: () => T): T {
  if (process.env.GOMP_SPINCOUNT !== undefined) return load();
  process.env.GOMP_SPINCOUNT = defaultSpinCount;
  try {
    return load();
  } finally {
    delete process.env.GOMP_SPINCOUNT;
  }
}

/** Where the addon may be. An engine built in the package's folder counts before one that npm has installed. */
const places: readonly { readonly name: string; readonly missing: string }[] = [
  { name: '../../build/cmake/Release/apollo.node', missing: 'not built' },
  { name: '../../build/Release/apollo.node', missing: 'not built' },
  ...['-cuda', ''].map((variant) => ({
    name: `@apollo-lm/${process.platform}-${process.arch}${variant}/apollo.node`,
    missing: 'not installed',
  })),
];

let loaded: NativeAddon | undefined;

/**
 * The addon, loaded on first use: an own build, or the platform's package.
 * @throws ApolloError NO_ADDON when there is none, it cannot be loaded, or was left out by a bundler; the message says what to do.
 */
export function loadAddon(): NativeAddon {
  if (loaded) return loaded;
  const here = moduleInPackage(import.meta.url, 'the native engine');
  const require = createRequire(here);
  const attempts: string[] = [];
  for (const { name, missing } of places) {
    const path = name.startsWith('.') ? fileURLToPath(new URL(name, here)) : name;
    try {
      loaded = withSpinCount(() => require(path) as NativeAddon);
      return loaded;
    } catch (error) {
      const reason = (error as Error).message.split('\n')[0];
      attempts.push(`  ${path}: ${(error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND' ? missing : reason}`);
    }
  }
  throw new ApolloError(
    'NO_ADDON',
    `The native engine for this machine (${process.platform}-${process.arch}) was not found.\n` +
      'Install it with npm (without --omit=optional), where there is a package for this platform; else build it with ' +
      `"npx apollo-lm build" (in a clone: "bash scripts/setup.sh"). See docs/troubleshooting.md#engine-not-found.\nTried:\n${attempts.join('\n')}`,
  );
}
