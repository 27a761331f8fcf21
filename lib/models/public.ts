/**
 * `apollo-lm/models`: configurations, presets and models, their FLOPs, and what a family outside of the package is made of
 * (docs/models.md and examples/own-family).
 * @module models
 */
export { type BodyInputs, bodyInputs } from './body-inputs.js';
export { causalGraphs, causalHeadFlops, decodingCache } from './causal.js';
export type { ModelConfig, StageShape } from './config.js';
export { createModel } from './create.js';
export type {
  ConfigField,
  ForeignClasses,
  HuggingFaceFamily,
  ModelFamily,
  PresetSizes,
  TiedTensors,
} from './family.js';
export { type FlopOptions, forwardFlops, headFlops, layerFlops, trainingFlops } from './flops.js';
export type { ForeignConfig, ForeignJson } from './foreign-config.js';
export {
  type Axis,
  type BatchShape,
  type BodyOptions,
  type BodyTrace,
  checkTrace,
  type DecodingOptions,
  type ForeignTensors,
  type Initial,
  type LanguageModel,
  type ModelBody,
  type ModelGraphs,
  type ObjectiveName,
  type ParameterSpec,
  type PredictionOptions,
  type PredictionShape,
  parameterCount,
  type Span,
  type TensorAxes,
  type TensorUse,
  type Trace,
  type TraceOptions,
} from './model.js';
export {
  bias,
  linear,
  type ModuleOptions,
  norm,
  outputMatrix,
  outputParameters,
  span,
  type TableOptions,
  table,
} from './parameters.js';
export { preset, presetNames } from './presets.js';
export { familyKinds, registerFamily } from './registry.js';
export { attentionFlops } from './transformer-layer.js';
