/** The ops that users call. Importing this file also gives Tensor its methods. */
export { gelu, swiglu } from './activation.js';
export { type AttentionOptions, type AttentionSource, attention } from './attention.js';
export { type AttentionCache, appendToCache, cachedAttention } from './cache.js';
export { dropout } from './dropout.js';
export {
  abs,
  add,
  cast,
  cos,
  div,
  equal,
  erf,
  exp,
  greater,
  greaterEqual,
  less,
  lessEqual,
  log,
  maximum,
  minimum,
  mul,
  neg,
  notEqual,
  pow,
  reciprocal,
  relu,
  rsqrt,
  scale,
  sigmoid,
  sign,
  silu,
  sin,
  sqrt,
  square,
  sub,
  tanh,
  where,
} from './elementwise.js';
export { embedding } from './embedding.js';
export { crossEntropy, ignoredLabel, lmHeadLoss } from './head.js';
export { type Activation, type MatmulOptions, matmul } from './matmul.js';
export { layerNorm, residualNorm } from './norm.js';

import './methods.js';
import './optimizer.js';

export { argmax, broadcastTo, columnSum, logSoftmax, max, mean, min, softmax, sum } from './reduce.js';
export { residualRmsNorm, rmsNorm } from './rms-norm.js';
export { type RotaryOptions, rotary } from './rotary.js';
export { type LinearScaling, type Llama3Scaling, type RotaryScaling, rotaryFrequencies } from './rotary-frequencies.js';
export { concat, gatherRows, reshape, scatterRows, slice, transpose } from './shape.js';
