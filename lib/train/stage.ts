/** A stage of a method for the loop: its model, the parameters it holds, and the weights made of them. */
import type { Graph } from '../engine/graph.js';
import type { MethodStage, Reparameterisation } from '../methods/method.js';
import { createModel, type LanguageModel, modelWeights, type ParameterSpec, storedWeights } from '../models/index.js';
import type { Weights } from '../nn/layers.js';
import { stageConfig } from './cost.js';

export interface StageNetwork {
  readonly stage: MethodStage;
  /** The finished model in the stage's widths. */
  readonly model: LanguageModel;
  /** Everything the store holds during the stage. */
  readonly specs: readonly ParameterSpec[];
  readonly reparameterisation?: Reparameterisation | undefined;
  /** The model's weights in a graph. */
  weights(graph: Graph, precision: 'f32' | 'bf16'): Weights;
}

export function stageNetwork(finished: LanguageModel, stage: MethodStage): StageNetwork {
  const model = stage.shape ? createModel(stageConfig(finished.config, stage)) : finished;
  const { reparameterisation } = stage;
  const specs = reparameterisation ? reparameterisation.parameters : model.parameters(stage.trainedLayers);
  return {
    stage,
    model,
    specs,
    reparameterisation,
    weights: (graph, precision) =>
      reparameterisation
        ? reparameterisation.weights(graph, storedWeights(graph, specs, precision))
        : modelWeights(graph, model, precision),
  };
}

/** The finished network, as a stage of its own. */
export function finishedNetwork(model: LanguageModel): StageNetwork {
  return stageNetwork(model, { index: 0, trainedLayers: model.config.layers });
}
