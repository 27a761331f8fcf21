/**
 * Definition of an op: name, shape rule, gradient rule and FLOP rule, declared together by `defineOp` and found by name in
 * the registry. How an op is computed is the backends' part.
 */
import { ApolloError } from '../../errors.js';
import * as is from '../../is.js';
import type { Graph, Node, Tensor } from '../graph.js';
import type { Attribute } from '../native.js';
import { formatType, type TensorType } from '../shape.js';

/** Fixed properties of one use of an op. An undefined entry is as good as absent. */
export type Attributes = Readonly<Record<string, Attribute | undefined>>;

/** Context of a gradient rule. */
export interface GradientContext<A extends Attributes = Attributes> {
  readonly node: Node;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly attrs: A;
  /** Gradient of the loss by output `index`; undefined when the loss does not depend on it. */
  gradient(index: number): Tensor | undefined;
  /** Whether anyone wants the gradient of input `index`; a rule leaves out work for the others. */
  needs(index: number): boolean;
  /**
   * The dtype in which the gradient of input `index` is wanted: f32 for parameters (their gradients are always f32),
   * else the input's own.
   */
  dtype(index: number): 'f32' | 'bf16';
  /**
   * Says that `tensor`, made by the rule, equals forward output `index`. Where the incoming gradients do not depend on
   * that output, it takes the output's place and the forward op is not run (loss and gradient in one pass).
   */
  replaceOutput(index: number, tensor: Tensor): void;
}

export interface OpDefinition<A extends Attributes = Attributes> {
  readonly name: string;
  /** Types of the outputs. @throws ApolloError BAD_SHAPE naming the op, the shapes and what to do. */
  shape(inputs: readonly TensorType[], attrs: A): readonly TensorType[];
  /** Gradients by input, in their order; undefined where there is none. Left out: the op is not differentiable. */
  gradient?(context: GradientContext<A>): readonly (Tensor | undefined)[];
  /** Multiply-adds x 2 of products (matmul, attention, head); left out: counts as 0. */
  flops?(inputs: readonly TensorType[], outputs: readonly TensorType[], attrs: A): number;
  /**
   * How many of the first outputs carry gradients (default 1). The others are statistics for the backward op, or
   * counts: nothing flows through them.
   */
  readonly differentiableOutputs?: number;
  /** Outputs (f32) that the kernel can add to instead of overwrite. */
  readonly accumulable?: readonly number[];
  /**
   * Output index -> index of the input, a state, whose memory the output is: the op changes the state instead of making
   * a tensor. It runs whether or not its result is used.
   */
  readonly inPlace?: Readonly<Record<number, number>>;
  /** Not an instruction of its own: a leaf of the graph, or a change of view (reshape). */
  readonly virtual?: boolean;
}

const registry = new Map<string, OpDefinition>();

const takesDefineOp = is.takes('defineOp', { definition: is.opDefinition });

/**
 * Declares an op. Its name must be new.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function defineOp<A extends Attributes>(definition: OpDefinition<A>): OpDefinition<A> {
  takesDefineOp(definition);

  if (registry.has(definition.name)) {
    throw new ApolloError('INTERNAL', `op '${definition.name}' is defined twice`);
  }
  registry.set(definition.name, definition as unknown as OpDefinition);
  return definition;
}

/** All declared ops by name. */
export function opRegistry(): ReadonlyMap<string, OpDefinition> {
  return registry;
}

const takesEmit = is.takes('emit', {
  definition: is.opDefinition,
  inputs: is.list(is.tensor),
  attrs: is.record,
  graph: is.optional(is.graph),
});

/**
 * Records one use of an op in the graph of its inputs (`graph` is needed only for ops without inputs).
 * @throws ApolloError BAD_ARGUMENT when inputs come from different graphs; BAD_SHAPE from the shape rule.
 */
export function emit<A extends Attributes>(
  definition: OpDefinition<A>,
  inputs: readonly Tensor[],
  attrs: A,
  graph?: Graph,
): Tensor[] {
  takesEmit(definition, inputs, attrs, graph);

  const owner = graph ?? inputs[0]?.graph;
  for (const input of inputs) {
    if (input.graph !== owner) {
      throw new ApolloError(
        'BAD_ARGUMENT',
        `${definition.name}: inputs ${inputs.map(formatType).join(', ')} belong to different graphs; trace them in one`,
      );
    }
  }
  if (!owner) throw new ApolloError('INTERNAL', `${definition.name}: an op without inputs needs its graph`);
  const types = definition.shape(inputs, attrs);
  return owner.append(definition as unknown as OpDefinition, inputs, attrs, types).outputs as Tensor[];
}

const takesEmitOne = is.takes('emitOne', {
  definition: is.opDefinition,
  inputs: is.list(is.tensor),
  attrs: is.record,
  graph: is.optional(is.graph),
});

/**
 * `emit` for ops of one interesting output: the first.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function emitOne<A extends Attributes>(
  definition: OpDefinition<A>,
  inputs: readonly Tensor[],
  attrs: A,
  graph?: Graph,
): Tensor {
  takesEmitOne(definition, inputs, attrs, graph);

  return emit(definition, inputs, attrs, graph ?? inputs[0]?.graph)[0]!;
}
