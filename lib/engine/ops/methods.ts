/** Ops as methods of Tensor: `x.matmul(w).add(b)` is `add(matmul(x, w), b)`. */
import { Tensor } from '../graph.js';
import { gelu, swiglu } from './activation.js';
import { dropout } from './dropout.js';
import * as elementwise from './elementwise.js';
import { matmul } from './matmul.js';
import { layerNorm } from './norm.js';
import * as reduce from './reduce.js';
import { rmsNorm } from './rms-norm.js';
import { gatherRows, reshape, slice, transpose } from './shape.js';

const {
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
} = elementwise;
const { argmax, broadcastTo, logSoftmax, max, mean, min, softmax, sum } = reduce;

const methods = {
  /** Absolute value of each element; {@link abs}. */
  abs,
  /** This tensor plus a tensor or a number, with broadcasting; {@link add}. */
  add,
  /** Index (i32) of the largest element along the last axis; {@link argmax}. */
  argmax,
  /** Stretched to a shape along axes of extent 1 and new leading axes; {@link broadcastTo}. */
  broadcastTo,
  /** The same values in another dtype; {@link cast}. */
  cast,
  /** Cosine of each element, in radians; {@link cos}. */
  cos,
  /** This tensor divided by a tensor or a number, with broadcasting; {@link div}. */
  div,
  /** Zeroes elements with probability p, in [0, 1), and scales the others by 1 / (1 - p); {@link dropout}. */
  dropout,
  /** Whether elements equal those of a tensor or a number, i32 0 or 1; {@link equal}. */
  equal,
  /** Error function of each element; {@link erf}. */
  erf,
  /** e to the power of each element; {@link exp}. */
  exp,
  /** Rows of [M, C] at the places of an i32 tensor [P] -> [P, C]; {@link gatherRows}. */
  gatherRows,
  /** GELU of each element, exact or by tanh; {@link gelu}. */
  gelu,
  /** Whether elements are above those of a tensor or a number, i32 0 or 1; {@link greater}. */
  greater,
  /** Whether elements are at least those of a tensor or a number, i32 0 or 1; {@link greaterEqual}. */
  greaterEqual,
  /** Layer normalisation over the last axis, with weight and bias f32 [C]; {@link layerNorm}. */
  layerNorm,
  /** Whether elements are below those of a tensor or a number, i32 0 or 1; {@link less}. */
  less,
  /** Whether elements are at most those of a tensor or a number, i32 0 or 1; {@link lessEqual}. */
  lessEqual,
  /** Natural logarithm of each element; {@link log}. */
  log,
  /** Logarithm of softmax over the last axis; {@link logSoftmax}. */
  logSoftmax,
  /** Matrix product with another tensor, with optional transposes, bias and activation; {@link matmul}. */
  matmul,
  /** Largest element over axes, by default all; {@link max}. */
  max,
  /** The larger of each element and that of a tensor or a number; {@link maximum}. */
  maximum,
  /** Mean over axes, by default all; {@link mean}. */
  mean,
  /** Smallest element over axes, by default all; {@link min}. */
  min,
  /** The smaller of each element and that of a tensor or a number; {@link minimum}. */
  minimum,
  /** Product with a tensor or a number, element by element with broadcasting; {@link mul}. */
  mul,
  /** Negative of each element; {@link neg}. */
  neg,
  /** Whether elements differ from those of a tensor or a number, i32 0 or 1; {@link notEqual}. */
  notEqual,
  /** Each element to the power of a tensor or a number; {@link pow}. */
  pow,
  /** 1 / x of each element; {@link reciprocal}. */
  reciprocal,
  /** The larger of each element and 0; {@link relu}. */
  relu,
  /** The same elements in another shape, in which one extent may be -1; {@link reshape}. */
  reshape,
  /** Root mean square normalisation over the last axis, with weight f32 [C]; {@link rmsNorm}. */
  rmsNorm,
  /** 1 / sqrt(x) of each element; {@link rsqrt}. */
  rsqrt,
  /** alpha x + beta for two numbers; beta is 0 by default; {@link scale}. */
  scale,
  /** 1 / (1 + exp(-x)) of each element; {@link sigmoid}. */
  sigmoid,
  /** -1, 0 or 1 for each element; {@link sign}. */
  sign,
  /** x sigmoid(x) of each element; {@link silu}. */
  silu,
  /** Sine of each element, in radians; {@link sin}. */
  sin,
  /** The block that starts at given places and has given extents, one entry per axis; {@link slice}. */
  slice,
  /** Softmax over the last axis; {@link softmax}. */
  softmax,
  /** Square root of each element; {@link sqrt}. */
  sqrt,
  /** Square of each element; {@link square}. */
  square,
  /** This tensor minus a tensor or a number, with broadcasting; {@link sub}. */
  sub,
  /** Sum over axes, by default all; {@link sum}. */
  sum,
  /** silu(gate) up for [.., 2F], whose rows hold gate and up side by side -> [.., F]; {@link swiglu}. */
  swiglu,
  /** Hyperbolic tangent of each element; {@link tanh}. */
  tanh,
  /** With its axes in another order, by default reversed; {@link transpose}. */
  transpose,
};

type Method<F> = F extends (x: Tensor, ...rest: infer R) => infer Y ? (...rest: R) => Y : never;
type Methods = { [K in keyof typeof methods]: Method<(typeof methods)[K]> };

declare module '../graph.js' {
  interface Tensor extends Methods {}
}

for (const [name, op] of Object.entries(methods) as [string, (...args: unknown[]) => unknown][]) {
  Object.defineProperty(Tensor.prototype, name, {
    value(this: Tensor, ...rest: unknown[]) {
      return op(this, ...rest);
    },
    writable: true,
    configurable: true,
  });
}
