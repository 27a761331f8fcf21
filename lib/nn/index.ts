/** Building blocks of language models, as functions that record graphs. */
export { atPositions, flatten, mlmTransform, tiedLogits, tiedLoss } from './heads.js';
export { type Activation, addNorm, linear, norm, tokenEmbeddings, type Weights } from './layers.js';
export {
  activatedLinear,
  feedForward,
  postNormStack,
  preNormStack,
  type StackCache,
  type StackOptions,
  selfAttention,
} from './transformer.js';
