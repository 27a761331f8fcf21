/**
 * `apollo-lm/nn`: building blocks of language models, as functions that record graphs. Weights come from a {@link Weights}
 * function by name and shape.
 * @module nn
 */
export { atPositions, flatten, mlmTransform, tiedLogits, tiedLoss } from './heads.js';
export {
  type Activation,
  addNorm,
  addScaleNorm,
  type LinearOptions,
  linear,
  norm,
  scaleNorm,
  tokenEmbeddings,
  type Weights,
} from './layers.js';
export {
  activatedLinear,
  type Biases,
  feedForward,
  postNormStack,
  preNormStack,
  type StackCache,
  type StackOptions,
  selfAttention,
} from './transformer.js';
