/** A compiled graph: named inputs in, named outputs out, one native call a run. */
import { ApolloError, check } from '../errors.js';
import * as is from '../is.js';
import type { Binding, ParameterNames } from './binding.js';
import { type DType, fromBfloat16, toBfloat16 } from './dtype.js';
import type { LoweredProgram, NamedType } from './lowering.js';
import type { NativeExchange, NativeProgram, TypedArray } from './native.js';
import { translated } from './native-error.js';
import { RunGroup } from './run-group.js';
import { formatShape, size } from './shape.js';

/** Values of an input: the dtype's array (bf16: f32 values or its bits) or plain numbers. */
export type InputData = TypedArray | readonly number[];

/** Options of one run of a program. */
export interface RunOptions {
  /**
   * Stops the run between two instructions; it then rejects with ABORT_ERR. What a GPU has been given already runs to its
   * end.
   */
  readonly signal?: AbortSignal | undefined;
  /** Stops this run together with others, in place of `signal`. */
  readonly group?: RunGroup | undefined;
  /** Asks for nanoseconds per instruction. */
  readonly profile?: boolean;
  /** Parameters to work on in place of the program's own, from this program's `bind`. */
  readonly binding?: Binding | undefined;
  /** Where there are several ranks: the exchange of the gradients, to which this run adds last. */
  readonly exchange?: NativeExchange | undefined;
}

/** Time of one instruction of a profiled run. */
export interface InstructionTime {
  /** Name of the op, as 'matmul'; several instructions may have the same. */
  readonly op: string;
  /** Dtypes and shapes of its inputs. */
  readonly name: string;
  /** Nanoseconds that the instruction took on the device. */
  readonly ns: number;
}

/** What one run of a program gave. */
export interface RunResult {
  /** By name; bf16 comes as f32. */
  readonly outputs: Record<string, Float32Array | Int32Array>;
  /** On the device, first to last instruction. */
  readonly elapsedMs: number;
  /** For how long the device had nothing to do before this run. */
  readonly waitedMs: number;
  /** The time of each instruction, in the order in which they ran; present when the run asked for it. */
  readonly profile?: readonly InstructionTime[];
}

/** Memory of a program, in bytes. */
export interface ProgramMemory {
  /** The one arena of activations and temporaries, as planned by lifetime. */
  readonly arenaBytes: number;
  /** Bytes that these would need without sharing. */
  readonly unsharedBytes: number;
  /** Persistent buffers the program reads, adds to or changes: parameters, gradients, states. */
  readonly parameterBytes: number;
}

const isInt32 = (value: number) => (value | 0) === value;

const plainArrays: Record<DType, string> = {
  f32: 'Float32Array',
  bf16: 'Float32Array or Uint16Array (bits)',
  i32: 'Int32Array',
};

/** `data` as the native engine takes it. @throws ApolloError BAD_ARGUMENT saying what the input wants and what came. */
export function convertInput({ name, shape, dtype }: NamedType, data: InputData): TypedArray {
  const elements = size(shape);
  const fail = (got: string) =>
    new ApolloError(
      'BAD_ARGUMENT',
      `input '${name}' wants ${elements} ${dtype} elements ${formatShape(shape)}; got ${got}`,
    );
  if (!Array.isArray(data) && !ArrayBuffer.isView(data)) throw fail(`${data === null ? 'null' : typeof data}`);
  if (data.length !== elements) throw fail(`${data.length}`);
  const accepted =
    dtype === 'i32'
      ? data instanceof Int32Array
      : data instanceof Float32Array || (dtype === 'bf16' && data instanceof Uint16Array);
  if (accepted) return dtype === 'bf16' && data instanceof Float32Array ? toBfloat16(data) : (data as TypedArray);
  if (!Array.isArray(data)) throw fail(`a ${data.constructor.name}; pass ${plainArrays[dtype]} or an array of numbers`);
  const wrong = data.findIndex((value) => typeof value !== 'number' || (dtype === 'i32' && !isInt32(value)));
  if (wrong >= 0) throw fail(`${String(data[wrong])} at position ${wrong}`);
  if (dtype === 'i32') return Int32Array.from(data);
  const values = Float32Array.from(data);
  return dtype === 'bf16' ? toBfloat16(values) : values;
}

/** State shared by all holders of a compiled graph. */
export interface CompiledProgram {
  readonly native: NativeProgram;
  readonly lowered: LoweredProgram;
  readonly flops: number;
  /** The parameters and states that it was compiled with. */
  readonly binding: Binding;
  readonly bind: (names: ParameterNames) => Binding;
  /** Throws CLOSED when the device is. */
  readonly checkOpen: () => void;
}

const takesNewProgram = is.takes('new Program', {
  parts: is.object('a compiled program (use Device.compile)', {
    native: is.record,
    lowered: is.record,
    binding: is.record,
  }),
  release: is.func,
});

const takesProgramRun = is.takes('Program.run', {
  inputs: is.record,
  options: is.options({
    signal: is.optional(is.signal),
    group: is.optional(is.runGroup),
    profile: is.optional(is.boolean),
    binding: is.optional(
      is.object('a Binding (from Program.bind)', { buffers: is.kind('an array', Array.isArray), checkOpen: is.func }),
    ),
    exchange: is.optional(is.having('a NativeExchange', ['finish'])),
  }),
});

const takesProgramBind = is.takes('Program.bind', { names: is.func });

/**
 * Made by `Device.compile`, for one holder: equal graphs share the native program, which is freed with the last of its
 * holders. Several runs may be in progress; the device takes them one after the other.
 * @example
 * using program = await device.compile(graph);
 * const { outputs } = await program.run({ x: [1, 2, 3] });
 */
export class Program {
  /** What `run` must be given: names, shapes and dtypes. */
  readonly inputs: readonly NamedType[];
  /** What `run` returns: names, shapes and dtypes (f32 or i32; bf16 is cast to f32). */
  readonly outputs: readonly NamedType[];
  /** The memory that the program needs on the device. */
  readonly memory: ProgramMemory;
  /** Executed FLOPs of one run: multiply-adds x 2 of matmuls, attention and heads. */
  readonly flops: number;
  #disposed = false;

  /** @internal */
  constructor(
    private readonly parts: CompiledProgram,
    /** Ends this holder's share. */
    private readonly release: () => void,
  ) {
    takesNewProgram(parts, release);

    const { native, lowered, flops, binding } = parts;
    const parameterBytes = binding.buffers.reduce((sum, { bytes }) => sum + bytes, 0);
    this.flops = flops;
    this.inputs = lowered.inputs;
    this.outputs = lowered.outputs;
    this.memory = { arenaBytes: native.arenaBytes, unsharedBytes: native.unsharedBytes, parameterBytes };
  }

  /** Whether `run` would be refused as CLOSED. */
  get closed(): boolean {
    try {
      this.#checkUsable(this.parts.binding);
      return false;
    } catch {
      return true;
    }
  }

  /**
   * The buffers of other parameters of the same store, for runs of this program: `names` gives the store's name of each
   * of the graph's parameters. Nothing is compiled; two of the graph's parameters may be one of the store's, whose
   * gradient is then the sum of both.
   * @throws ApolloError BAD_ARGUMENT for a parameter that the store does not have or that has another shape, CLOSED.
   */
  bind(names: ParameterNames): Binding {
    takesProgramBind(names);

    return this.parts.bind(names);
  }

  /**
   * Runs once with exactly the inputs the graph names; their data is copied at the call.
   * @throws ApolloError BAD_ARGUMENT (missing, unknown or wrong input; data a kernel refuses; another device's binding), CLOSED, ABORT_ERR.
   */
  async run(inputs: Readonly<Record<string, InputData>> = {}, options: RunOptions = {}): Promise<RunResult> {
    takesProgramRun(inputs, options);

    const { signal, group = signal && new RunGroup(signal) } = options;
    try {
      return await this.#run(inputs, { ...options, group });
    } catch (error) {
      group?.fail(); // also where nothing was queued: the group's other runs must not work without this one
      throw error;
    } finally {
      if (!options.group) group?.dispose();
    }
  }

  async #run(
    inputs: Readonly<Record<string, InputData>>,
    { group, profile = false, binding, exchange }: RunOptions,
  ): Promise<RunResult> {
    this.#checkUsable(binding ?? this.parts.binding);
    check(!binding || binding.device === this.parts.binding.device, 'run: the binding is of another device');
    const data = this.#collect(inputs);
    if (group?.stopped)
      throw new ApolloError('ABORT_ERR', 'the run was cancelled before it started', { cause: group.reason });
    const result = await translated(() =>
      this.parts.native.run(data, {
        profile,
        ...(group && { stopped: group.flag }),
        ...(binding && { buffers: binding.buffers }),
        ...(exchange && { exchange }),
      }),
    );
    const outputs: Record<string, Float32Array | Int32Array> = {};
    this.outputs.forEach(({ name }, slot) => {
      const array = result.outputs[slot]!;
      outputs[name] = array instanceof Uint16Array ? fromBfloat16(array) : array;
    });
    const { elapsedMs, waitedMs } = result;
    if (!result.profile) return { outputs, elapsedMs, waitedMs };
    const { labels, desc } = this.parts.lowered;
    const times = desc.instructions.map(({ op }, i) => ({ op, name: labels[i]!, ns: result.profile![i]! }));
    return { outputs, elapsedMs, waitedMs, profile: times };
  }

  /** Ends the use of this program; runs in progress finish. What other callers of `compile` hold stays usable. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #checkUsable(binding: Binding): void {
    if (this.#disposed) throw new ApolloError('CLOSED', 'the program was disposed; compile the graph again');
    binding.checkOpen();
    this.parts.checkOpen();
  }

  #collect(inputs: Readonly<Record<string, InputData>>): TypedArray[] {
    const wanted = this.inputs.map(({ name }) => name);
    const missing = wanted.filter((name) => inputs[name] === undefined);
    const unknown = Object.keys(inputs).filter((name) => !wanted.includes(name));
    if (missing.length > 0 || unknown.length > 0) {
      const parts = [
        ...(missing.length > 0 ? [`missing: ${missing.join(', ')}`] : []),
        ...(unknown.length > 0 ? [`unknown: ${unknown.join(', ')}`] : []),
      ];
      throw new ApolloError(
        'BAD_ARGUMENT',
        `run: the program takes inputs [${wanted.join(', ')}]; ${parts.join('; ')}`,
      );
    }
    return this.inputs.map((input) => convertInput(input, inputs[input.name]!));
  }
}
