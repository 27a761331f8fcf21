/** A device: where programs are compiled and run. One native thread owns it; calls queue and never block JavaScript. */
import { availableParallelism, homedir } from 'node:os';
import { join } from 'node:path';
import { ApolloError, check } from '../errors.js';
import * as is from '../is.js';
import { bindBuffers, type ParameterNames, type ProgramStores } from './binding.js';
import type { DType } from './dtype.js';
import type { Graph } from './graph.js';
import { graphFlops, lower } from './lowering.js';
import { type DeviceInfo, loadAddon, type NativeBuffer, type NativeDevice } from './native.js';
import { fromNative, translated } from './native-error.js';
import { type CompiledProgram, Program } from './program.js';

/** Which device to open, and how, see {@link openDevice}. */
export interface DeviceOptions {
  /** 'cuda': an NVIDIA GPU. Default 'cpu'. */
  readonly kind?: 'cpu' | 'cuda';
  /** CPU: worker threads; default: all cores. Equal results need equal thread counts. */
  readonly threads?: number;
  /**
   * CUDA: which GPU, counted from 0 among those that the CUDA runtime lists: CUDA_VISIBLE_DEVICES selects and orders them,
   * and without CUDA_DEVICE_ORDER=PCI_BUS_ID the order may differ from that of nvidia-smi. Default: 0.
   */
  readonly index?: number;
  /** CUDA: f32 products may round their inputs to TF32 (10 bits), several times as fast. Default: false. */
  readonly tf32?: boolean;
  /**
   * CUDA: file that keeps which algorithm was fastest for each matrix product, so that the same seed gives the same
   * bits in every run. Default: in the user's cache folder ($XDG_CACHE_HOME or ~/.cache). '': none are timed.
   */
  readonly matmulCache?: string;
  /** Refuses programs and buffers beyond this; default: what the machine has free. */
  readonly memoryLimitBytes?: number;
}

/** Options for compiling a graph. */
export interface CompileOptions extends ProgramStores {
  /** The store's names of the graph's parameters; default: their own. A run may give others (Program.bind). */
  readonly parameters?: ParameterNames | undefined;
}

export type { DeviceInfo } from './native.js';

/** Programs kept for reuse by one device or store; the oldest beyond this are left to the garbage collector. */
const cachedPrograms = 256;

/** A compiled graph and how many hold it. */
interface CacheEntry {
  readonly compiled: Promise<CompiledProgram>;
  /** Set once it is compiled. */
  ready?: CompiledProgram;
  holders: number;
}
type ProgramCache = Map<string, CacheEntry>;

const defaultMatmulCache = () =>
  join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'apollo-lm', 'matmul.txt');

const takesOpenDevice = is.takes('openDevice', {
  options: is.options({
    kind: is.optional(is.string),
    threads: is.optional(is.number),
    index: is.optional(is.number),
    tf32: is.optional(is.boolean),
    matmulCache: is.optional(is.string),
    memoryLimitBytes: is.optional(is.number),
  }),
});

/**
 * Opens a device.
 * ```ts
 * const device = await openDevice({ kind: 'cuda' });
 * ```
 * @throws ApolloError NO_ADDON, NO_DEVICE (what is missing: the backend, a driver, a GPU, cuBLASLt), BAD_ARGUMENT.
 */
export async function openDevice(options: DeviceOptions = {}): Promise<Device> {
  takesOpenDevice(options);

  const { kind = 'cpu', threads = 0, index = 0, tf32 = false, memoryLimitBytes = 0 } = options;
  check(kind === 'cpu' || kind === 'cuda', `kind must be 'cpu' or 'cuda'; got '${kind}'`);
  check(
    Number.isInteger(threads) && threads >= 0,
    `threads must be a whole number >= 0 (0: all cores); got ${threads}`,
  );
  const most = Math.max(256, 8 * availableParallelism());
  check(threads <= most, `threads must be at most ${most} on this machine; got ${threads}`);
  check(Number.isInteger(index) && index >= 0, `index must be a whole number >= 0; got ${index}`);
  check(
    Number.isSafeInteger(memoryLimitBytes) && memoryLimitBytes >= 0,
    `memoryLimitBytes must be a whole number >= 0 (0: what is free); got ${memoryLimitBytes}`,
  );
  const matmulCache = options.matmulCache ?? (kind === 'cuda' ? defaultMatmulCache() : '');
  const addon = loadAddon();
  return translated(() => new Device(addon.openDevice({ kind, threads, index, tf32, matmulCache, memoryLimitBytes })));
}

const takesDeviceCreateBuffer = is.takes('Device.createBuffer', { dtype: is.dtype, elements: is.extent });

const takesDeviceCompile = is.takes('Device.compile', {
  graph: is.graph,
  options: is.options({
    store: is.optional(is.store),
    states: is.optional(is.states),
    parameters: is.optional(is.func),
  }),
});

const takesNewDevice = is.takes('new Device', {
  native: is.having('a NativeDevice (use openDevice)', ['compile', 'createBuffer', 'releaseArena', 'info', 'close']),
});

let readNative: (device: Device) => NativeDevice;

/** The addon's side of a device, for this package alone: it checks nothing. */
export const nativeOf = (device: Device): NativeDevice => readNative(device);

/**
 * Where programs are compiled and run; from {@link openDevice}. One native thread owns it: calls queue, and none blocks JavaScript.
 * @example
 * const program = await device.compile(graph, { store });
 * const { outputs } = await program.run({ x: [1, 2, 3] });
 */
export class Device {
  #closed = false;
  /** By parameter store, then by states, then by the graph's signature. */
  readonly #caches = new WeakMap<object, WeakMap<object, ProgramCache>>();

  readonly #native: NativeDevice;

  /**
   * Use `openDevice`; tests give a NativeDevice of their own.
   * @internal
   */
  constructor(native: NativeDevice) {
    takesNewDevice(native);
    this.#native = native;
  }

  static {
    readNative = (device) => device.#native;
  }

  /**
   * Name, threads, memory and the ops that have kernels.
   * @throws ApolloError CLOSED, also when the GPU is lost to this process.
   */
  info(): DeviceInfo {
    this.checkOpen();
    try {
      return this.#native.info();
    } catch (error) {
      throw fromNative(error);
    }
  }

  /**
   * Compiles a graph; parameters are those of `store`, states those of `states`. An equal graph with the same stores and
   * names is compiled once and shared: each caller disposes of its own Program, and the last one frees it.
   * @throws ApolloError NO_KERNEL (op, dtypes, device), OUT_OF_MEMORY (what it needs and what is free), BAD_ARGUMENT
   * (parameters or states without a store or unlike its own), CLOSED.
   */
  async compile(graph: Graph, options: CompileOptions = {}): Promise<Program> {
    takesDeviceCompile(graph, options);

    this.checkOpen();
    options.store?.checkOpen();
    options.states?.checkOpen();
    const { parameters } = options;
    const cache = this.#cacheOf(options);
    const names = parameters ? JSON.stringify([...graph.parameters.keys()].map(parameters)) : '';
    const key = graph.signature + names;
    let entry = cache.get(key);
    if (!entry || (entry.ready && isClosed(entry.ready))) {
      entry = { compiled: this.#build(graph, options), holders: 0 };
      cache.delete(key);
      cache.set(key, entry);
      if (cache.size > cachedPrograms) cache.delete(cache.keys().next().value!);
    }
    const shared = entry;
    const forget = () => {
      if (cache.get(key) === shared) cache.delete(key);
    };
    shared.holders++; // before anything is awaited: another holder's dispose() must not free it meanwhile
    try {
      shared.ready = await shared.compiled;
    } catch (error) {
      forget();
      throw error;
    }
    const { ready } = shared;
    const release = () => {
      if (--shared.holders > 0) return;
      forget();
      ready.native.dispose();
    };
    try {
      // The device or a store may have been closed meanwhile.
      this.checkOpen();
      ready.binding.checkOpen();
    } catch (error) {
      release();
      throw error;
    }
    return new Program(ready, release);
  }

  /**
   * A zeroed persistent buffer.
   * @throws {ApolloError} OUT_OF_MEMORY, CLOSED; BAD_ARGUMENT naming an argument that is wrong.
   * @internal
   */
  createBuffer(dtype: DType, elements: number): NativeBuffer {
    takesDeviceCreateBuffer(dtype, elements);

    this.checkOpen();
    try {
      return this.#native.createBuffer(dtype, elements);
    } catch (error) {
      throw fromNative(error);
    }
  }

  /**
   * Frees the memory that programs share, behind what is queued; the next run of a program reserves what it needs.
   * @throws {ApolloError} CLOSED.
   * @internal
   */
  async releaseArena(): Promise<void> {
    this.checkOpen();
    await translated(() => this.#native.releaseArena());
  }

  /** Finishes what is queued and frees the device; every later call throws CLOSED. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await translated(() => this.#native.close());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * @throws {ApolloError} CLOSED after close().
   * @internal
   */
  checkOpen(): void {
    if (this.#closed) throw new ApolloError('CLOSED', 'the device is closed; open another with openDevice()');
  }

  #cacheOf({ store, states }: ProgramStores): ProgramCache {
    const byStates = this.#caches.get(store ?? this) ?? new WeakMap<object, ProgramCache>();
    this.#caches.set(store ?? this, byStates);
    const cache: ProgramCache = byStates.get(states ?? this) ?? new Map();
    byStates.set(states ?? this, cache);
    return cache;
  }

  async #build(graph: Graph, { store, states, parameters }: CompileOptions): Promise<CompiledProgram> {
    check(
      graph.outputs.size > 0 || graph.nodes.some((node) => node.sinks.size > 0 || node.op.inPlace),
      'compile: the graph has no output; call graph.output(name, tensor)',
    );
    const lowered = lower(graph);
    for (const { kind, name } of lowered.buffers) {
      const missing = kind === 'state' ? !states && 'states' : !store && 'store';
      if (!missing) continue;
      const what = kind === 'state' ? 'states' : 'parameters';
      throw new ApolloError('BAD_ARGUMENT', `compile: the graph has ${what} ('${name}', …); pass { ${missing} }`);
    }
    check(!store || store.device === this, 'compile: the store belongs to another device');
    check(!states || states.device === this, 'compile: the states belong to another device');
    const bind = (names?: ParameterNames) => bindBuffers(lowered.buffers, { store, states }, names);
    const binding = bind(parameters);
    const native = await translated(() => this.#native.compile(lowered.desc, binding.buffers));
    return { native, lowered, flops: graphFlops(graph), binding, bind, checkOpen: () => this.checkOpen() };
  }
}

/** Whether device, store or a parameter of a compiled graph is gone. */
function isClosed({ binding, checkOpen }: CompiledProgram): boolean {
  try {
    binding.checkOpen();
    checkOpen();
    return false;
  } catch {
    return true;
  }
}
