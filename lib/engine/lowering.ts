/**
 * Graph -> NativeProgramDesc: keeps what outputs and gradient sinks need, orders it, gives every value a storage.
 * Reshapes become aliases, parameters, gradients and states buffers, outputs of dtype bf16 are cast to f32.
 */
import { ApolloError } from '../errors.js';
import * as is from '../is.js';
import type { DType } from './dtype.js';
import type { Graph, Node, Tensor } from './graph.js';
import { lossBufferShape, lossBuffers } from './loss-guard.js';
import type { Attribute, NativeInstruction, NativeProgramDesc, NativeValue } from './native.js';
import { accumulateOp } from './ops/elementwise.js';
import { reshapeOp } from './ops/shape.js';
import { formatType, type TensorType } from './shape.js';

/** Which of a parameter's buffers a program uses. */
export type BufferKind = 'value' | 'workingCopy' | 'gradient';

/** An input or output of a program: name, shape and dtype. */
export interface NamedType extends TensorType {
  /** Its name in the graph; of an input or output the key under which `Program.run` takes or returns it. */
  readonly name: string;
}

/** A persistent buffer of a program: one of a parameter's, or a state. */
export interface BufferUse extends NamedType {
  readonly kind: BufferKind | 'state';
}

export interface LoweredProgram {
  readonly desc: NativeProgramDesc;
  /** By input slot. */
  readonly inputs: readonly NamedType[];
  /** By output slot; dtype f32 or i32. */
  readonly outputs: readonly NamedType[];
  /** By buffer slot. */
  readonly buffers: readonly BufferUse[];
  /** Operands of each instruction, for profiles: `f32 [2, 3], f32 [3, 4]`. */
  readonly labels: readonly string[];
}

/** Whether the node changes something that outlives the run: a gradient buffer or a state. */
const changes = (node: Node): boolean => node.sinks.size > 0 || node.op.inPlace !== undefined;

/** Nodes that outputs, sinks and states need. */
function liveNodes(graph: Graph): Set<Node> {
  const live = new Set<Node>();
  const stack = graph.nodes.filter(changes);
  for (const tensor of graph.outputs.values()) stack.push(graph.resolve(tensor).node);
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (live.has(node)) continue;
    live.add(node);
    for (const input of node.inputs) stack.push(graph.resolve(input).node);
  }
  return live;
}

/**
 * Live nodes in the order they run: as recorded, except that constants come right before their first use, a node
 * waits for what replaced its inputs, and what only feeds a gradient buffer comes as soon as it is known.
 */
export function schedule(graph: Graph): Node[] {
  const live = liveNodes(graph);
  const sinks = new Map<Node, Node[]>();
  for (const node of live) {
    if (node.op.name !== accumulateOp.name) continue;
    const producer = graph.resolve(node.inputs[0]!).node;
    sinks.set(producer, [...(sinks.get(producer) ?? []), node]);
  }
  const done = new Set<Node>();
  const order: Node[] = [];
  const visit = (node: Node): void => {
    if (done.has(node)) return;
    done.add(node);
    for (const input of node.inputs) visit(graph.resolve(input).node);
    order.push(node);
    sinks.get(node)?.forEach(visit);
  };
  for (const node of graph.nodes) if (live.has(node) && node.op.name !== 'fill') visit(node);
  // Constants that nothing but an output uses.
  for (const tensor of graph.outputs.values()) visit(graph.resolve(tensor).node);
  return order;
}

const takesGraphFlops = is.takes('graphFlops', { graph: is.graph });

/**
 * FLOPs of one run: multiply-adds x 2 of matmuls, attention and heads (`flops.executed`).
 * @example
 * graphFlops(graph) // as program.flops, without a device
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function graphFlops(graph: Graph): number {
  takesGraphFlops(graph);

  return schedule(graph).reduce(
    (sum, { op, inputs, outputs, attrs }) => sum + (op.flops?.(inputs, outputs, attrs) ?? 0),
    0,
  );
}

/** Collects values, instructions and slots while the schedule is walked. */
class Lowering {
  readonly values: NativeValue[] = [];
  readonly instructions: NativeInstruction[] = [];
  readonly labels: string[] = [];
  readonly inputs: NamedType[] = [];
  readonly outputs: NamedType[] = [];
  readonly buffers: BufferUse[] = [];
  readonly #valueOf = new Map<Tensor, number>();
  readonly #bufferSlots = new Map<string, number>();
  /** Outputs that take the memory of the tensor itself, by tensor. */
  readonly #direct = new Map<Tensor, string>();
  /** Outputs that need a copy or a cast, by the tensor they come from. */
  readonly #derived = new Map<Tensor, string[]>();
  /** Tensors whose memory has since been changed in place, by the op that did it. */
  readonly #changed = new Map<Tensor, string>();

  constructor(private readonly graph: Graph) {
    for (const [name, tensor] of graph.outputs) {
      const root = this.#root(tensor);
      const lasting =
        ['input', 'parameter', 'state'].includes(root.node.op.name) || root.node.op.inPlace?.[root.index] !== undefined;
      const own = root.dtype !== 'bf16' && !lasting && !this.#direct.has(root);
      if (own) this.#direct.set(root, name);
      else this.#derived.set(root, [...(this.#derived.get(root) ?? []), name]);
    }
  }

  run(): LoweredProgram {
    for (const node of schedule(this.graph)) this.#lower(node);
    const { values, instructions, labels, inputs, outputs, buffers } = this;
    return { desc: { values, instructions }, inputs, outputs, buffers, labels };
  }

  /** The tensor whose memory `tensor` is. */
  #root(tensor: Tensor): Tensor {
    let current = this.graph.resolve(tensor);
    while (current.node.op.name === reshapeOp.name) current = this.graph.resolve(current.node.inputs[0]!);
    return current;
  }

  #value(type: TensorType, storage: NativeValue['storage'], slot = 0): number {
    return this.values.push({ dtype: type.dtype, shape: type.shape, storage, slot }) - 1;
  }

  #buffer(kind: BufferUse['kind'], name: string, { shape, dtype }: TensorType): number {
    const key = `${kind} ${name}`;
    const slot = this.#bufferSlots.get(key) ?? this.buffers.push({ kind, name, shape, dtype }) - 1;
    this.#bufferSlots.set(key, slot);
    return slot;
  }

  #output(name: string, type: TensorType): number {
    const shape = this.graph.outputs.get(name)!.shape;
    const dtype: DType = type.dtype === 'bf16' ? 'f32' : type.dtype;
    return this.#value({ shape: type.shape, dtype }, 'output', this.outputs.push({ name, shape, dtype }) - 1);
  }

  #lower(node: Node): void {
    const { op, attrs } = node;
    if (op.name === 'input') {
      const [tensor] = node.outputs as [Tensor];
      const slot = this.inputs.push({ name: attrs.name as string, shape: tensor.shape, dtype: tensor.dtype }) - 1;
      this.#valueOf.set(tensor, this.#value(tensor, 'input', slot));
    } else if (op.name === 'parameter' || op.name === 'state') {
      const [tensor] = node.outputs as [Tensor];
      const kind = op.name === 'state' ? 'state' : tensor.dtype === 'bf16' ? 'workingCopy' : 'value';
      this.#valueOf.set(tensor, this.#value(tensor, 'buffer', this.#buffer(kind, attrs.name as string, tensor)));
    } else if (op.name === reshapeOp.name) {
      const [tensor] = node.outputs as [Tensor];
      this.#valueOf.set(tensor, this.#value(tensor, 'alias', this.#read(this.#root(tensor))));
      return;
    } else {
      const inputs = node.inputs.map((input) => this.#read(this.graph.resolve(input)));
      const outputs = node.outputs.map((tensor) => this.#write(node, tensor));
      this.#instruction(op.name, inputs, outputs, this.#attributes(node), node.inputs);
    }
    for (const tensor of node.outputs) {
      for (const name of this.#derived.get(tensor) ?? []) {
        const copy = tensor.dtype === 'bf16' ? 'cast' : 'copy';
        this.#instruction(copy, [this.#read(tensor)], [this.#output(name, tensor)], {}, [tensor]);
      }
    }
  }

  #read(tensor: Tensor): number {
    const op = this.#changed.get(this.#root(tensor));
    if (op !== undefined) {
      throw new ApolloError('BAD_ARGUMENT', `${tensor} was changed by ${op} and is read later; use ${op}'s result`);
    }
    return this.#valueOf.get(tensor)!;
  }

  /** The memory of a state that `node` changes, from now on that of its result. */
  #change(node: Node, tensor: Tensor, input: number): number {
    const before = this.graph.resolve(node.inputs[input]!);
    const value = this.#read(before);
    if (this.values[value]!.storage !== 'buffer') {
      throw new ApolloError('BAD_ARGUMENT', `${node.op.name} works in place and ${before} is not a state`);
    }
    this.#changed.set(this.#root(before), node.op.name);
    this.#valueOf.set(tensor, value);
    return value;
  }

  #write(node: Node, tensor: Tensor): number {
    const changed = node.op.inPlace?.[tensor.index];
    if (changed !== undefined) return this.#change(node, tensor, changed);
    const sink = node.sinks.get(tensor.index);
    const output = this.#direct.get(tensor);
    const value =
      sink !== undefined
        ? this.#value(tensor, 'buffer', this.#gradient(sink))
        : output !== undefined
          ? this.#output(output, tensor)
          : this.#value(tensor, 'arena');
    this.#valueOf.set(tensor, value);
    return value;
  }

  #gradient(name: string): number {
    const shape = lossBuffers.includes(name) ? lossBufferShape : this.graph.parameters.get(name)!.shape;
    return this.#buffer('gradient', name, { shape, dtype: 'f32' });
  }

  #attributes(node: Node): Record<string, Attribute> {
    const attrs: Record<string, Attribute> = {};
    for (const [name, value] of Object.entries(node.attrs)) if (value !== undefined) attrs[name] = value;
    if (node.sinks.size > 0 && node.op.name !== accumulateOp.name) attrs.accumulate = [...node.sinks.keys()].sort();
    return attrs;
  }

  #instruction(
    op: string,
    inputs: number[],
    outputs: number[],
    attrs: Record<string, Attribute>,
    types: readonly TensorType[],
  ): void {
    this.instructions.push({ op, inputs, outputs, attrs });
    this.labels.push(types.map(formatType).join(', '));
  }
}

/** The native description of a graph; deterministic, so equal signatures lower to equal programs. */
export function lower(graph: Graph): LoweredProgram {
  return new Lowering(graph).run();
}
