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
  abs,
  add,
  argmax,
  broadcastTo,
  cast,
  cos,
  div,
  dropout,
  equal,
  erf,
  exp,
  gatherRows,
  gelu,
  greater,
  greaterEqual,
  layerNorm,
  less,
  lessEqual,
  log,
  logSoftmax,
  matmul,
  max,
  maximum,
  mean,
  min,
  minimum,
  mul,
  neg,
  notEqual,
  pow,
  reciprocal,
  relu,
  reshape,
  rmsNorm,
  rsqrt,
  scale,
  sigmoid,
  sign,
  silu,
  sin,
  slice,
  softmax,
  sqrt,
  square,
  sub,
  sum,
  swiglu,
  tanh,
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
