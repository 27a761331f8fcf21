/** Building blocks for model families outside the package; docs/models.md and examples/own-family show how. */
export { type BodyInputs, bodyInputs } from './body-inputs.js';
export { causalGraphs, causalHeadFlops, decodingCache } from './causal.js';
export type { ConfigField, HuggingFaceFamily, ModelFamily, PresetSizes } from './family.js';
export {
  type Axis,
  checkTrace,
  type ModelBody,
  type ModelGraphs,
  type ParameterSpec,
  type Span,
  type TensorUse,
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
export { attentionFlops } from './transformer-layer.js';
