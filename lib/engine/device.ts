/** A device: where programs are compiled and run. One native thread owns it; calls queue and never block JavaScript. */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ApolloError, check } from '../errors.js';
import type { DType } from './dtype.js';
import type { Graph } from './graph.js';
import { graphFlops, lower } from './lowering.js';
import { loadAddon, type NativeBuffer, type NativeDevice } from './native.js';
import { fromNative, translated } from './native-error.js';
import type { ParameterStore } from './parameters.js';
import { Program } from './program.js';

export interface DeviceOptions {
  /** 'cuda': an NVIDIA GPU. Default 'cpu'. */
  readonly kind?: 'cpu' | 'cuda';
  /** CPU: worker threads; default: all cores. Equal results need equal thread counts. */
  readonly threads?: number;
  /** CUDA: which GPU, counted from 0 as nvidia-smi does. */
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

export type DeviceInfo = ReturnType<NativeDevice['info']>;

/** Programs kept for reuse by one device or store; the oldest beyond this are left to the garbage collector. */
const cachedPrograms = 256;

const defaultMatmulCache = () =>
  join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'apollo-lm', 'matmul.txt');

/**
 * Opens a device.
 * ```ts
 * const device = await openDevice({ kind: 'cuda' });
 * ```
 * @throws ApolloError NO_ADDON, NO_DEVICE (what is missing: the backend, a driver, a GPU, cuBLASLt), BAD_ARGUMENT.
 */
export async function openDevice(options: DeviceOptions = {}): Promise<Device> {
  const { kind = 'cpu', threads = 0, index = 0, tf32 = false, memoryLimitBytes = 0 } = options;
  check(kind === 'cpu' || kind === 'cuda', `kind must be 'cpu' or 'cuda'; got '${kind}'`);
  check(
    Number.isInteger(threads) && threads >= 0,
    `threads must be a whole number >= 0 (0: all cores); got ${threads}`,
  );
  check(Number.isInteger(index) && index >= 0, `index must be a whole number >= 0; got ${index}`);
  check(memoryLimitBytes >= 0, `memoryLimitBytes must be >= 0 (0: what is free); got ${memoryLimitBytes}`);
  const matmulCache = options.matmulCache ?? (kind === 'cuda' ? defaultMatmulCache() : '');
  const addon = loadAddon();
  return translated(() => new Device(addon.openDevice({ kind, threads, index, tf32, matmulCache, memoryLimitBytes })));
}

export class Device {
  private closed = false;
  private readonly caches = new WeakMap<object, Map<string, Promise<Program>>>();

  /** Use `openDevice`; tests hand in a NativeDevice of their own. */
  constructor(readonly native: NativeDevice) {}

  /** Name, threads, memory and the ops that have kernels. */
  info(): DeviceInfo {
    this.checkOpen();
    return this.native.info();
  }

  /**
   * Compiles a graph; parameters are those of `store`. An equal graph with the same store gives the same Program,
   * until it is disposed.
   * @throws ApolloError NO_KERNEL (op, dtypes, device), OUT_OF_MEMORY (what it needs and what is free), BAD_ARGUMENT
   * (parameters without a store or unlike its own), CLOSED.
   */
  async compile(graph: Graph, options: { readonly store?: ParameterStore | undefined } = {}): Promise<Program> {
    this.checkOpen();
    const { store } = options;
    store?.checkOpen();
    const owner = store ?? this;
    const cache = this.caches.get(owner) ?? new Map<string, Promise<Program>>();
    this.caches.set(owner, cache);
    const key = graph.signature;
    const known = cache.get(key);
    if (known && !(await known).closed) return known;
    const program = this.build(graph, store);
    cache.delete(key);
    cache.set(key, program);
    if (cache.size > cachedPrograms) cache.delete(cache.keys().next().value!);
    program.catch(() => {
      if (cache.get(key) === program) cache.delete(key);
    });
    return program;
  }

  /** A zeroed persistent buffer. @throws ApolloError OUT_OF_MEMORY, CLOSED. */
  createBuffer(dtype: DType, elements: number): NativeBuffer {
    this.checkOpen();
    try {
      return this.native.createBuffer(dtype, elements);
    } catch (error) {
      throw fromNative(error);
    }
  }

  /** Finishes what is queued and frees the device; every later call throws CLOSED. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await translated(() => this.native.close());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Throws CLOSED after close(). */
  checkOpen(): void {
    if (this.closed) throw new ApolloError('CLOSED', 'the device is closed; open another with openDevice()');
  }

  private async build(graph: Graph, store: ParameterStore | undefined): Promise<Program> {
    check(
      graph.outputs.size > 0 || graph.nodes.some((node) => node.sinks.size > 0),
      'compile: the graph has no output; call graph.output(name, tensor)',
    );
    const lowered = lower(graph);
    const [first] = lowered.buffers;
    if (first && !store) {
      throw new ApolloError('BAD_ARGUMENT', `compile: the graph has parameters ('${first.name}', …); pass { store }`);
    }
    check(!store || store.device === this, 'compile: the store belongs to another device');
    const bound = lowered.buffers.map(({ kind, name, shape }) => ({ name, ...store!.bind(kind, name, shape) }));
    const buffers = bound.map(({ buffer }) => buffer);
    const parameterBytes = buffers.reduce((sum, { bytes }) => sum + bytes, 0);
    const checkOpen = () => {
      if (store) store.checkOpen();
      else this.checkOpen();
      const gone = bound.find(({ removed }) => removed());
      if (gone) throw new ApolloError('CLOSED', `parameter '${gone.name}' was removed from the store; compile again`);
    };
    const native = await translated(() => this.native.compile(lowered.desc, buffers));
    return new Program(native, lowered, graphFlops(graph), parameterBytes, checkOpen);
  }
}
