/**
 * Reverse-mode differentiation of graphs: `gradients` returns tensors, `accumulateGradients` adds into a parameter
 * store. Rules live with their ops (ops/*.ts); this file walks the graph and joins what they return.
 */
import { ApolloError, check } from '../errors.js';
import * as is from '../is.js';
import type { Graph, Node, Tensor } from './graph.js';
import { lossBufferShape, lossGuard, lossSum } from './loss-guard.js';
import { emitOne, type GradientContext, type OpDefinition } from './ops/define.js';
import { accumulateOp, add, cast, mul, scale as scaled } from './ops/elementwise.js';
import { reshape, reshapeOp, sliceOp, transposeOp } from './ops/shape.js';
import { formatShape, formatType, sameShape } from './shape.js';

/** Ops whose result holds the elements of their input, elsewhere. */
const views: readonly string[] = [reshapeOp.name, transposeOp.name, sliceOp.name];

/** Whether `tensor` is a parameter or moved elements of one: its gradients may stay in f32. */
function isParameter(tensor: Tensor): boolean {
  const { op, inputs } = tensor.node;
  return op.name === 'parameter' || (views.includes(op.name) && isParameter(inputs[0]!));
}

/** Whether the value of one of `tensors` depends on `source`. */
function dependsOn(tensors: readonly Tensor[], source: Tensor): boolean {
  const graph = source.graph;
  const seen = new Set<Node>();
  const stack = [...tensors];
  for (let next = stack.pop(); next; next = stack.pop()) {
    const tensor = graph.resolve(next);
    if (tensor === source) return true;
    if (seen.has(tensor.node)) continue;
    seen.add(tensor.node);
    stack.push(...tensor.node.inputs);
  }
  return false;
}

/** Tensors whose gradient is on the way from `leaves` to a loss: the leaves and what is computed from them. */
function differentiable(graph: Graph, leaves: ReadonlySet<Tensor>, last: number): Set<Tensor> {
  const found = new Set<Tensor>();
  for (const node of graph.nodes.slice(0, last + 1)) {
    const reached = node.inputs.some((input) => found.has(input));
    for (const output of node.outputs) {
      if ((reached || leaves.has(output)) && output.dtype !== 'i32') found.add(output);
    }
  }
  return found;
}

function checkLoss(caller: string, loss: Tensor): void {
  check(
    loss.size === 1 && loss.dtype === 'f32',
    `${caller}: the loss must be one f32 value; got ${formatType(loss)} (sum or average it)`,
  );
}

/**
 * Walks back from `loss`, whose gradient is `seed`. Each contribution to a leaf goes to `receive`; all others are
 * summed where they meet.
 */
function walk(
  loss: Tensor,
  seed: Tensor,
  leaves: ReadonlySet<Tensor>,
  receive: (leaf: Tensor, g: Tensor) => void,
): void {
  const graph = loss.graph;
  const wanted = differentiable(graph, leaves, loss.node.id);
  const pending = new Map<Tensor, Tensor>();
  const contribute = (tensor: Tensor, raw: Tensor): void => {
    if (!sameShape(raw.shape, tensor.shape)) {
      throw new ApolloError(
        'INTERNAL',
        `gradient ${formatShape(raw.shape)} of ${tensor} came from ${raw.node.op.name}`,
      );
    }
    if (leaves.has(tensor)) receive(tensor, raw);
    // A leaf that is itself computed from other leaves passes its gradient on, too.
    if (leaves.has(tensor) && !tensor.node.inputs.some((input) => wanted.has(input))) return;
    const g = cast(raw, isParameter(tensor) ? 'f32' : tensor.dtype);
    const earlier = pending.get(tensor);
    pending.set(tensor, earlier ? add(earlier, g) : g);
  };
  if (wanted.has(loss)) contribute(loss, seed);

  for (let id = loss.node.id; id >= 0; id--) {
    const node = graph.nodes[id]!;
    const arrived = node.outputs.map((output) => pending.get(output));
    if (!arrived.some(Boolean) || !node.inputs.some((input) => wanted.has(input))) continue;
    if (!node.op.gradient) {
      throw new ApolloError(
        'BAD_ARGUMENT',
        `${node.op.name} has no gradient rule; ${node.inputs.map(formatType).join(', ')} cannot be differentiated through it`,
      );
    }
    const context: GradientContext = {
      node,
      inputs: node.inputs,
      outputs: node.outputs,
      attrs: node.attrs,
      gradient: (index) => arrived[index],
      needs: (index) => wanted.has(node.inputs[index]!),
      dtype: (index) => {
        const input = node.inputs[index]!;
        return isParameter(input) || input.dtype === 'f32' ? 'f32' : 'bf16';
      },
      replaceOutput: (index, tensor) => {
        const gradients = arrived.filter((g) => g !== undefined);
        if (!dependsOn(gradients, node.outputs[index]!)) graph.replace(node.outputs[index]!, tensor);
      },
    };
    const results = differentiableOutput(node, arrived) ? node.op.gradient(context) : [];
    node.inputs.forEach((input, index) => {
      const g = results[index];
      if (g && wanted.has(input)) contribute(input, g);
    });
    for (const output of node.outputs) pending.delete(output);
  }
}

/** Rules of ops with several outputs start from the first ones; statistics and counts pass no gradient on. */
function differentiableOutput(node: Node, arrived: readonly (Tensor | undefined)[]): boolean {
  const last = node.op.differentiableOutputs ?? 1;
  return arrived.slice(0, last).some(Boolean);
}

const takesGradients = is.takes('gradients', { loss: is.tensor, wrt: is.list(is.tensor) });

/**
 * Gradients of a scalar by tensors of the same graph; zeros where the loss does not depend on one. f32 for parameters,
 * else in the tensor's dtype.
 * @example
 * const [dx] = gradients(x.square().sum(), [x]);
 * @throws ApolloError BAD_ARGUMENT for a loss of more than one element, or an op without gradient on the way.
 */
export function gradients(loss: Tensor, wrt: readonly Tensor[]): Tensor[] {
  takesGradients(loss, wrt);

  checkLoss('gradients', loss);
  for (const tensor of wrt) {
    check(tensor.graph === loss.graph, `gradients: ${tensor} belongs to another graph than the loss`);
    check(tensor.dtype !== 'i32', `gradients: ${tensor} is i32; only floating tensors have gradients`);
  }
  const sums = new Map<Tensor, Tensor>();
  const graph = loss.graph;
  walk(loss, graph.constant(1, loss.shape), new Set(wrt), (leaf, raw) => {
    const g = cast(raw, isParameter(leaf) ? 'f32' : leaf.dtype);
    const earlier = sums.get(leaf);
    sums.set(leaf, earlier ? add(earlier, g) : g);
  });
  return wrt.map(
    (tensor) => sums.get(tensor) ?? graph.constant(0, tensor.shape, isParameter(tensor) ? 'f32' : tensor.dtype),
  );
}

/** Options of {@link accumulateGradients}. */
export interface AccumulateOptions {
  /** Factor of the loss, e.g. 1 / micro-batches; a tensor (one f32) makes it an input of the program. Default 1. */
  readonly scale?: Tensor | number;
  /** Which parameters receive gradients. Default: all. What only frozen ones need is not computed. */
  readonly trainable?: (name: string) => boolean;
  /**
   * Whether an optimizer's step is left out on the device, as for gradients that are not finite, when a loss since the last
   * one was not. Default: no, the caller looks at the loss.
   */
  readonly guard?: boolean;
  /** Whether scale * loss is added up along with the gradients, for `ParameterStore.takeLoss`. Default: no. */
  readonly sumLoss?: boolean;
}

const takesAccumulateGradients = is.takes('accumulateGradients', {
  loss: is.tensor,
  options: is.options({
    scale: is.optional(is.operand),
    trainable: is.optional(is.func),
    guard: is.optional(is.boolean),
    sumLoss: is.optional(is.boolean),
  }),
});

/**
 * Adds d(scale * loss) / d(parameter) to the store's gradient of every trainable parameter that the loss depends on.
 * Contributions of a shared parameter add up in its one buffer, by the producing kernel itself where it can.
 * @returns the names of these parameters, in the order of their first use.
 * @example
 * const loss = crossEntropy(graph.parameter('w', [2, 4]), graph.input('labels', [2], 'i32')).loss;
 * accumulateGradients(loss); // each run adds to the store's gradients
 * @throws ApolloError BAD_ARGUMENT as for `gradients`.
 */
export function accumulateGradients(loss: Tensor, options: AccumulateOptions = {}): string[] {
  takesAccumulateGradients(loss, options);

  checkLoss('accumulateGradients', loss);
  const { scale = 1, trainable = () => true } = options;
  const graph = loss.graph;
  const names = new Map<Tensor, string>();
  for (const [name, tensor] of graph.parameters) if (trainable(name)) names.set(tensor, name);
  const seed = typeof scale === 'number' ? graph.constant(scale, loss.shape) : reshape(cast(scale, 'f32'), loss.shape);
  const contributions: { name: string; tensor: Tensor }[] = [];
  walk(loss, seed, new Set(names.keys()), (leaf, tensor) => contributions.push({ name: names.get(leaf)!, tensor }));

  const uses = new Map<Tensor, number>();
  const count = (tensor: Tensor) => uses.set(tensor, (uses.get(tensor) ?? 0) + 1);
  for (const node of graph.nodes) node.inputs.forEach(count);
  for (const tensor of graph.outputs.values()) count(tensor);
  for (const { tensor } of contributions) count(tensor);
  for (const { name, tensor } of contributions) {
    const target = fusable(tensor, name, uses) ?? emitOne(accumulateOp, [tensor], {});
    target.node.sinks.set(target.index, name);
  }
  const addTo = (buffer: string, value: Tensor) => {
    const sum = emitOne(accumulateOp, [value], {});
    sum.node.sinks.set(sum.index, buffer);
  };
  if (options.guard) addTo(lossGuard, scaled(reshape(loss, lossBufferShape), 0));
  if (options.sumLoss) addTo(lossSum, reshape(mul(loss, seed), lossBufferShape));
  const reached = new Set(contributions.map(({ name }) => name));
  return [...graph.parameters.keys()].filter((name) => reached.has(name));
}

/** The output that can add to the gradient itself: made by an op that accumulates, and used for nothing else. */
function fusable(contribution: Tensor, name: string, uses: ReadonlyMap<Tensor, number>): Tensor | undefined {
  let tensor = contribution;
  while (uses.get(tensor) === 1 && tensor.node.op === (reshapeOp as unknown as OpDefinition))
    tensor = tensor.node.inputs[0]!;
  const { op, sinks } = tensor.node;
  const alone = uses.get(tensor) === 1 && ![...sinks.values()].includes(name);
  return alone && tensor.dtype === 'f32' && op.accumulable?.includes(tensor.index) ? tensor : undefined;
}
