/** Building blocks of language models, as functions that record graphs. */
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
  feedForward,
  postNormStack,
  preNormStack,
  type StackCache,
  type StackOptions,
  selfAttention,
} from './transformer.js';
