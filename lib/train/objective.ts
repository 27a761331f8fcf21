/** The objective of a step: the model's own loss, or one that a host program records from the model's outputs. */
import { argument } from '../arguments.js';
import type { DType } from '../engine/dtype.js';
import type { Graph, Tensor } from '../engine/graph.js';
import { reshape } from '../engine/ops/index.js';
import type { Shape } from '../engine/shape.js';
import * as is from '../is.js';
import type { BatchShape, LanguageModel, TraceOptions } from '../models/index.js';
import type { Weights } from '../nn/layers.js';

/** Inputs of an objective. */
export interface ObjectiveContext {
  /** The graph to record in. */
  readonly graph: Graph;
  /** The finished model; while a stage has other widths, the model in these widths. */
  readonly model: LanguageModel;
  /** Static shape of the batch. */
  readonly shape: BatchShape;
  /** Whether the graph is for training; the loss of an evaluation may leave out what only regularises. */
  readonly training: boolean;
  /** The last hidden states, [B, T, C]. */
  readonly hidden: Tensor;
  /** Logits f32 [rows, V] of rows [rows, C] of the hidden states; default: all, [B*T, V]. */
  logits(rows?: Tensor): Tensor;
  /** A field of the batch by its name in BatchInputs. */
  input(name: string, shape: Shape, dtype?: DType): Tensor;
  /** Gives the model's weights as tensors, by name. */
  readonly weights: Weights;
}

/**
 * A loss to train with in place of the model's own. It goes through every stage of a method and is what an evaluation
 * reports.
 * ```ts
 * const objective: Objective = {
 *   name: 'label-smoothing-0.1',
 *   trace: ({ logits, input, shape: { batch, seq } }) =>
 *     crossEntropy(logits().mul(0.9), input('labels', [batch * seq], 'i32')),
 * };
 * ```
 */
export interface Objective {
  /** Stands in checkpoints: a run resumes only with an objective of the same name. */
  readonly name: string;
  /**
   * Records the loss: one f32, the mean over the examples that count, and how many do (one f32), by which held-out batches
   * are weighed.
   */
  trace(context: ObjectiveContext): {
    /** Mean over the examples that count, f32 with one element. */
    readonly loss: Tensor;
    /** Number of examples that count, f32 with one element. */
    readonly count: Tensor;
  };
}

/** The loss of a model over a batch of `shape`, by its own objective or by `objective`. */
export function traceLoss(
  objective: Objective | undefined,
  {
    graph,
    model,
    weights,
    shape,
    options,
  }: {
    readonly graph: Graph;
    readonly model: LanguageModel;
    readonly weights: Weights;
    readonly shape: BatchShape;
    readonly options: TraceOptions;
  },
): { readonly loss: Tensor; readonly count: Tensor } {
  if (!objective) return model.trace(graph, weights, shape, options);
  const { training } = options;
  const { hidden } = model.body.trace(graph, weights, shape, options);
  const traced = objective.trace({
    graph,
    model,
    shape,
    training,
    hidden,
    weights,
    logits: (rows = reshape(hidden, [-1, model.config.hidden])) => model.logits(rows, weights, training),
    input: (name, extent, dtype = 'i32') => graph.input(name, extent, dtype),
  });
  argument(`objective ${JSON.stringify(objective.name)}: what trace returns`, traced, lossAndCount);
  return traced;
}

const lossAndCount = is.object('{ loss, count }', { loss: is.tensor, count: is.tensor });
