/** The start of the graphs of all bodies: the inputs, and the options of the stack that follow from them. */
import type { Graph, Tensor } from '../engine/graph.js';
import * as is from '../is.js';
import type { StackOptions } from '../nn/transformer.js';
import type { ModelConfig } from './config.js';
import { type BodyOptions, checkTrace, type PredictionShape } from './model.js';

/** Options of a stack that are the same for all families. */
type CommonOptions = Pick<
  StackOptions,
  | 'layerMap'
  | 'heads'
  | 'ffn'
  | 'epsilon'
  | 'dropout'
  | 'attentionDropout'
  | 'training'
  | 'mask'
  | 'branchScales'
  | 'blockGates'
>;

/** The inputs of a body and the options of its stack, from {@link bodyInputs}. */
export interface BodyInputs {
  /** i32 [B, T]. */
  readonly tokens: Tensor;
  /** i32 [B, T], where the batch has token types. */
  readonly types: Tensor | undefined;
  /** With the inputs `mask` i32 [B, T], `branchScales` and `blockGates` f32 [depth], where batch and options ask for them. */
  readonly stack: CommonOptions;
}

const takesBodyInputs = is.takes('bodyInputs', {
  graph: is.graph,
  config: is.modelConfig,
  batch: is.batchSize,
  options: is.object('{ layerMap, training }', { layerMap: is.list(is.number), training: is.boolean }),
});

/**
 * Checks batch and layer map and records the inputs. Dropout is that of the configuration when training, else 0.
 * @example
 * const { tokens, stack } = bodyInputs(graph, config, { batch: 2, seq: 8, padding: false }, { layerMap: [0, 1], training: true });
 * @throws {ApolloError} BAD_ARGUMENT as checkTrace, or naming an argument that is wrong.
 */
export function bodyInputs(
  graph: Graph,
  config: ModelConfig,
  batch: Omit<PredictionShape, 'targets'>,
  options: BodyOptions,
): BodyInputs {
  takesBodyInputs(graph, config, batch, options);

  const { layerMap, training } = options;
  checkTrace(config, batch, layerMap);
  const { heads, ffn, epsilon } = config;
  const shape = [batch.batch, batch.seq];
  const depth = [layerMap.length];
  return {
    tokens: graph.input('tokens', shape, 'i32'),
    types: batch.types ? graph.input('types', shape, 'i32') : undefined,
    stack: {
      layerMap,
      heads,
      ffn,
      epsilon,
      dropout: training ? config.dropout : 0,
      attentionDropout: training ? config.attentionDropout : 0,
      training,
      mask: batch.padding ? graph.input('mask', shape, 'i32') : undefined,
      branchScales: options.branchScales ? graph.input('branchScales', depth) : undefined,
      blockGates: options.blockGates ? graph.input('blockGates', depth) : undefined,
    },
  };
}
