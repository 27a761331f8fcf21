/** From a configuration to the model. */
import * as is from '../is.js';
import { checkedModel } from './checked.js';
import { type ModelConfig, validateModelConfig } from './config.js';
import { headFlops, layerFlops, trainingFlops } from './flops.js';
import type { LanguageModel } from './model.js';
import { familyOf } from './registry.js';

const takesCreateModel = is.takes('createModel', { config: is.record });

/**
 * The model of a configuration.
 * ```ts
 * const model = createModel(preset('gpt-small'));
 * const { loss } = model.trace(graph, weights, { batch: 8, seq: 128, padding: false },
 *   { layerMap: interpolate(3, 12), training: true });
 * ```
 * @throws ApolloError BAD_CONFIG for a configuration no model can have.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function createModel(config: ModelConfig): LanguageModel {
  takesCreateModel(config);

  validateModelConfig(config);
  const family = familyOf(config);
  return checkedModel({
    ...family.create(config),
    config,
    objective: family.objective,
    flops: { layer: layerFlops(config, config.maxPositions), head: headFlops(config) },
    flopsPerToken: (depth, seq) => trainingFlops(config, depth, seq),
  });
}
