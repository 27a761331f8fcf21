/** The inputs of a body's graph, which all families have in common. */
import type { Graph, Tensor } from '../engine/graph.js';
import * as is from '../is.js';
import type { BodyOptions, PredictionShape } from './model.js';

export interface BodyInputs {
  /** i32 [B, T]. */
  readonly tokens: Tensor;
  /** i32 [B, T], where the batch has token types. */
  readonly types: Tensor | undefined;
  /** i32 [B, T], where it has padding. */
  readonly mask: Tensor | undefined;
  /** f32 [depth], where the options ask for them. */
  readonly branchScales: Tensor | undefined;
  readonly blockGates: Tensor | undefined;
}

const takesBodyInputs = is.takes('bodyInputs', {
  graph: is.graph,
  batch: is.batchSize,
  options: is.object('{ layerMap }', { layerMap: is.layerMap }),
});

/**
 * Records them.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function bodyInputs(graph: Graph, batch: Omit<PredictionShape, 'targets'>, options: BodyOptions): BodyInputs {
  takesBodyInputs(graph, batch, options);

  const shape = [batch.batch, batch.seq];
  const depth = [options.layerMap.length];
  return {
    tokens: graph.input('tokens', shape, 'i32'),
    types: batch.types ? graph.input('types', shape, 'i32') : undefined,
    mask: batch.padding ? graph.input('mask', shape, 'i32') : undefined,
    branchScales: options.branchScales ? graph.input('branchScales', depth) : undefined,
    blockGates: options.blockGates ? graph.input('blockGates', depth) : undefined,
  };
}
