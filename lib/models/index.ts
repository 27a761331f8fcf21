/** Language models: configurations, presets, BERT and GPT-2, their parameters and FLOPs. */

import * as is from '../is.js';
import { bert } from './bert.js';
import { checkedModel } from './checked.js';
import type { ModelConfig } from './config.js';
import { gpt } from './gpt.js';
import type { LanguageModel } from './model.js';

export { bert } from './bert.js';
export {
  activationOf,
  type ModelConfig,
  optionalFields,
  structureOf,
  validateModelConfig,
  withDefaults,
} from './config.js';
export { type FlopOptions, forwardFlops, headFlops, layerFlops, trainingFlops } from './flops.js';
export { gpt } from './gpt.js';
export {
  declarationOf,
  declareParameters,
  declareSpecs,
  drawnValue,
  initialiseParameters,
  initialiseSpecs,
  initialValue,
} from './init.js';
export { layerOf, ofOtherLayer } from './layer-names.js';
export * from './model.js';
export { outputMatrix } from './parameters.js';
export { type PresetName, preset, presetNames } from './presets.js';

const takesCreateModel = is.takes('createModel', { config: is.record });

/**
 * The model of a configuration. @throws ApolloError BAD_CONFIG for a configuration no model can have.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function createModel(config: ModelConfig): LanguageModel {
  takesCreateModel(config);

  return checkedModel(config.kind === 'gpt' ? gpt(config) : bert(config));
}
