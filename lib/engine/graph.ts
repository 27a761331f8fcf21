/**
 * The recorded computation: tensors without data, nodes that make them, named inputs, parameters, states and outputs. Recorded
 * once, differentiated (autodiff.ts), lowered (lowering.ts) and run many times (program.ts).
 */
import { createHash } from 'node:crypto';
import { ApolloError, check } from '../errors.js';
import * as is from '../is.js';
import type { DType } from './dtype.js';
import { type Attributes, defineOp, emitOne, type OpDefinition } from './ops/define.js';
import { checkElements, checkShape, formatType, type Shape, sameShape, size, type TensorType } from './shape.js';

const takesNewTensor = is.takes('new Tensor', {
  node: is.object('a Node', { graph: is.graph }),
  index: is.index,
  shape: is.shape,
  dtype: is.dtype,
});

/**
 * A value in a graph: shape and dtype, no data. Its methods are the functions of ops/index.ts (see ops/methods.ts).
 * @example
 * const x = graph.input('x', [2, 3]);
 * const y = x.mul(2).add(1).sum([1]); // f32 [2]
 */
export class Tensor implements TensorType {
  constructor(
    /** The node that makes it. */
    readonly node: Node,
    /** Which of the node's outputs it is. */
    readonly index: number,
    /** Extents, outermost first; `[]` for a scalar. */
    readonly shape: Shape,
    /** Type of the elements: f32, bf16 or i32. */
    readonly dtype: DType,
  ) {
    takesNewTensor(node, index, shape, dtype);
  }

  /** The graph in which it was recorded. */
  get graph(): Graph {
    return this.node.graph;
  }

  /** Number of elements. */
  get size(): number {
    return size(this.shape);
  }

  toString(): string {
    return `Tensor ${formatType(this)} of ${this.node.op.name}`;
  }
}

const takesNewNode = is.takes('new Node', {
  graph: is.graph,
  id: is.index,
  op: is.opDefinition,
  inputs: is.list(is.tensor),
  attrs: is.record,
  types: is.list(is.tensorType),
});

/**
 * One use of an op.
 * @example
 * graph.nodes.map(({ op, outputs }) => `${op.name}: ${outputs.join()}`);
 */
export class Node {
  /** The tensors that it makes, in the order of the op's outputs. */
  readonly outputs: readonly Tensor[];
  /** Output index -> name of the parameter whose gradient this output is added to (set by accumulateGradients). */
  readonly sinks = new Map<number, string>();

  constructor(
    /** The graph in which it was recorded. */
    readonly graph: Graph,
    /** Position in the order of recording; inputs always come from smaller ids. */
    readonly id: number,
    /** The op: its name, and its rules for shapes, gradients and FLOPs. */
    readonly op: OpDefinition,
    /** Its operands, in the op's order. */
    readonly inputs: readonly Tensor[],
    /** Fixed properties of this use of the op, such as an axis or a drop probability. */
    readonly attrs: Attributes,
    types: readonly TensorType[],
  ) {
    takesNewNode(graph, id, op, inputs, attrs, types);

    this.outputs = types.map((type, index) => new Tensor(this, index, type.shape, type.dtype));
  }
}

type LeafAttributes = { name: string };

function leaf(name: string): OpDefinition<LeafAttributes> {
  return {
    name,
    virtual: true,
    shape: () => {
      throw new ApolloError('INTERNAL', `${name} is a leaf`);
    },
  };
}

const inputOp = leaf('input');
const parameterOp = leaf('parameter');
const stateOp = leaf('state');

/** A tensor filled with `value`; the kernel writes it once per run. */
export const fillOp = defineOp<{ value: number; shape: Shape; dtype: DType }>({
  name: 'fill',
  shape: (_, { shape, dtype }) => [{ shape, dtype }],
  gradient: () => [],
});

const takesGraphResolve = is.takes('Graph.resolve', { tensor: is.tensor });

const takesGraphReplace = is.takes('Graph.replace', { from: is.tensor, to: is.tensor });

const takesGraphAppend = is.takes('Graph.append', {
  op: is.opDefinition,
  inputs: is.list(is.tensor),
  attrs: is.record,
  types: is.list(is.tensorType),
});

const takesGraphOutput = is.takes('Graph.output', { name: is.name, tensor: is.tensor });

const takesGraphConstant = is.takes('Graph.constant', { value: is.anyNumber, shape: is.shape, dtype: is.dtype });

const takesGraphState = is.takes('Graph.state', { name: is.name, shape: is.shape, dtype: is.dtype });

const takesGraphParameter = is.takes('Graph.parameter', { name: is.name, shape: is.shape, dtype: is.precision });

const takesGraphInput = is.takes('Graph.input', { name: is.name, shape: is.shape, dtype: is.dtype });

/**
 * Records a computation.
 * ```ts
 * const g = new Graph();
 * const x = g.input('x', [2, 3]);
 * g.output('y', x.matmul(g.parameter('w', [3, 4])).gelu());
 * ```
 */
export class Graph {
  /**
   * All nodes in the order of recording. Compilation leaves out those that neither outputs nor gradients nor states
   * need.
   */
  readonly nodes: Node[] = [];
  /** Tensors that each run is given, by the names of `input`. */
  readonly inputs = new Map<string, Tensor>();
  /** Leaves that a ParameterStore holds, by the names of `parameter`. */
  readonly parameters = new Map<string, Tensor>();
  /**
   * Tensors that a StateStore holds from run to run, by the names of `state`, as they are before a run changes them.
   */
  readonly states = new Map<string, Tensor>();
  /** Tensors that each run returns, by the names of `output`. */
  readonly outputs = new Map<string, Tensor>();
  readonly #constants = new Map<string, Tensor>();
  readonly #replacements = new Map<Tensor, Tensor>();
  #streams = 0;

  /**
   * A tensor fed at each run under `name`. The same name again gives the same tensor.
   * @param name Name by which a run is given its values.
   * @param shape Extents, outermost first.
   * @param dtype Type of the elements. Default: 'f32'.
   * @throws ApolloError BAD_ARGUMENT when it exists with another shape or dtype.
   */
  input(name: string, shape: Shape, dtype: DType = 'f32'): Tensor {
    takesGraphInput(name, shape, dtype);

    return this.#leaf(inputOp, this.inputs, name, { shape, dtype });
  }

  /**
   * A leaf held by a ParameterStore. The same name again gives the same tensor. dtype bf16 means the store's working
   * copy; gradients are f32 in both cases.
   * @param name Name of the parameter in the store.
   * @param shape Extents, outermost first.
   * @param dtype 'bf16' for the working copy. Default: 'f32'.
   * @throws ApolloError BAD_ARGUMENT when it exists with another shape or dtype.
   */
  parameter(name: string, shape: Shape, dtype: 'f32' | 'bf16' = 'f32'): Tensor {
    takesGraphParameter(name, shape, dtype);

    return this.#leaf(parameterOp, this.parameters, name, { shape, dtype });
  }

  /**
   * A tensor that stays on the device from run to run, held by a StateStore; ops that work in place change it. The same
   * name again gives the same tensor, as it is before any change.
   * @param name Name of the state in its store.
   * @param shape Extents, outermost first.
   * @param dtype Type of the elements. Default: 'f32'.
   * @throws ApolloError BAD_ARGUMENT when it exists with another shape or dtype.
   */
  state(name: string, shape: Shape, dtype: DType = 'f32'): Tensor {
    takesGraphState(name, shape, dtype);

    return this.#leaf(stateOp, this.states, name, { shape, dtype });
  }

  /**
   * A tensor filled with one value (default: a scalar f32). Equal constants are one tensor.
   * @param value Value of all elements.
   * @param shape Extents, outermost first. Default: [], a scalar.
   * @param dtype Type of the elements. Default: 'f32'.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  constant(value: number, shape: Shape = [], dtype: DType = 'f32'): Tensor {
    takesGraphConstant(value, shape, dtype);

    checkShape('constant', shape);
    check(
      dtype !== 'i32' || (Number.isInteger(value) && Math.abs(value + 0.5) < 2 ** 31),
      `constant: an i32 is a whole number from -2147483648 to 2147483647; got ${value}`,
    );
    const key = `${Object.is(value, -0) ? '-0' : value}:${dtype}:${shape.join(',')}`;
    let tensor = this.#constants.get(key);
    if (!tensor) {
      tensor = emitOne(fillOp, [], { value, shape: [...shape], dtype }, this);
      this.#constants.set(key, tensor);
    }
    return tensor;
  }

  /** Reads `tensor` back after each run as `outputs[name]`. @throws ApolloError BAD_ARGUMENT when the name is taken. */
  output(name: string, tensor: Tensor): void {
    takesGraphOutput(name, tensor);

    check(tensor.graph === this, `output '${name}' belongs to another graph; trace it in this one`);
    check(!this.outputs.has(name), `output '${name}' exists already; choose another name`);
    this.outputs.set(name, tensor);
  }

  /** The input `rng`, i32[4]: seed low, seed high, step, micro-batch. Dropout draws from it (native/core/philox.h). */
  rng(): Tensor {
    return this.input('rng', [4], 'i32');
  }

  /**
   * Dropout streams 1, 2, 3, … in the order of tracing, so that no two uses drop alike.
   * @internal
   */
  nextStream(): number {
    return ++this.#streams;
  }

  /**
   * Records a node; ops call it through `emit`.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   * @internal
   */
  append(op: OpDefinition, inputs: readonly Tensor[], attrs: Attributes, types: readonly TensorType[]): Node {
    takesGraphAppend(op, inputs, attrs, types);

    for (const { shape } of types) checkElements(op.name, shape);
    const node = new Node(this, this.nodes.length, op, inputs, attrs, types);
    this.nodes.push(node);
    return node;
  }

  /**
   * From now on `to` stands for `from` wherever it is used (see GradientContext.replaceOutput).
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   * @internal
   */
  replace(from: Tensor, to: Tensor): void {
    takesGraphReplace(from, to);

    this.#replacements.set(from, to);
  }

  /**
   * The tensor that stands for `tensor`: itself unless replaced.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   * @internal
   */
  resolve(tensor: Tensor): Tensor {
    takesGraphResolve(tensor);

    let current = tensor;
    for (let next = this.#replacements.get(current); next; next = this.#replacements.get(current)) current = next;
    return current;
  }

  /** A digest of the structure (ops, shapes, attributes, names): equal graphs compile to equal programs. */
  get signature(): string {
    const reference = (tensor: Tensor) => {
      const resolved = this.resolve(tensor);
      return `${resolved.node.id}.${resolved.index}`;
    };
    const hash = createHash('sha256');
    for (const node of this.nodes) {
      // Numbers as text: JSON has no -0, Infinity or NaN.
      const attrs = Object.entries(node.attrs)
        .filter(([, value]) => value !== undefined)
        .map(([name, value]) => [name, typeof value === 'number' ? `${Object.is(value, -0) ? '-0' : value}` : value])
        .sort(([a], [b]) => (a! < b! ? -1 : 1));
      hash.update(
        JSON.stringify([
          node.op.name,
          node.inputs.map(reference),
          attrs,
          node.outputs.map(formatType),
          [...node.sinks],
        ]),
      );
    }
    for (const [name, tensor] of this.outputs) hash.update(JSON.stringify([name, reference(tensor)]));
    return hash.digest('hex');
  }

  #leaf(op: OpDefinition<LeafAttributes>, table: Map<string, Tensor>, name: string, type: TensorType): Tensor {
    check(
      typeof name === 'string' && name !== '',
      `${op.name}: a name must be a non-empty string; got ${String(name)}`,
    );
    const existing = table.get(name);
    if (existing) {
      check(
        sameShape(existing.shape, type.shape) && existing.dtype === type.dtype,
        `${op.name} '${name}' exists as ${formatType(existing)} and is asked for as ${formatType(type)}; ` +
          'use one type or another name',
      );
      return existing;
    }
    checkShape(`${op.name} '${name}'`, type.shape);
    const node = this.append(op as unknown as OpDefinition, [], { name }, [{ ...type, shape: [...type.shape] }]);
    table.set(name, node.outputs[0]!);
    return node.outputs[0]!;
  }
}
