/**
 * Elementwise ops: unary and binary functions with broadcasting, comparisons, scale, select and cast. Functions take
 * tensors or, for the second operand, plain numbers.
 */

import * as is from '../../is.js';
import type { DType } from '../dtype.js';
import type { Tensor } from '../graph.js';
import { broadcastShapes, formatShape, formatType, sameShape, shapeError, type TensorType } from '../shape.js';
import { defineOp, emitOne, type OpDefinition } from './define.js';
import { broadcastTo, unbroadcast } from './reduce.js';

export type UnaryKind =
  | 'neg'
  | 'abs'
  | 'square'
  | 'sqrt'
  | 'rsqrt'
  | 'reciprocal'
  | 'exp'
  | 'log'
  | 'tanh'
  | 'sigmoid'
  | 'relu'
  | 'silu'
  | 'erf'
  | 'sin'
  | 'cos'
  | 'sign';
export type ArithmeticKind = 'add' | 'sub' | 'mul' | 'div' | 'pow' | 'max' | 'min';
export type ComparisonKind = 'less' | 'lessEqual' | 'equal' | 'greater' | 'greaterEqual' | 'notEqual';

const comparisons: readonly string[] = ['less', 'lessEqual', 'equal', 'greater', 'greaterEqual', 'notEqual'];

function floating(op: string, x: TensorType): void {
  if (x.dtype === 'i32') throw shapeError(op, `needs f32 or bf16 values; got ${formatType(x)} (cast it first)`);
}

/** d unary(x) / dx times g, by kind; `y` is the forward output. */
const unaryGradients: Record<UnaryKind, (g: Tensor, x: Tensor, y: Tensor) => Tensor | undefined> = {
  neg: (g) => neg(g),
  abs: (g, x) => mul(g, sign(x)),
  square: (g, x) => mul(g, scale(x, 2)),
  sqrt: (g, _, y) => div(g, scale(y, 2)),
  rsqrt: (g, x, y) => mul(g, scale(div(y, x), -0.5)),
  reciprocal: (g, _, y) => neg(mul(g, square(y))),
  exp: (g, _, y) => mul(g, y),
  log: (g, x) => div(g, x),
  tanh: (g, _, y) => mul(g, scale(square(y), -1, 1)),
  sigmoid: (g, _, y) => mul(g, mul(y, scale(y, -1, 1))),
  relu: (g, _, y) => mul(g, sign(y)),
  silu: (g, x, y) => {
    const s = sigmoid(x);
    return mul(g, add(s, mul(y, scale(s, -1, 1))));
  },
  erf: (g, x) => mul(g, scale(exp(neg(square(x))), 2 / Math.sqrt(Math.PI))),
  sin: (g, x) => mul(g, cos(x)),
  cos: (g, x) => neg(mul(g, sin(x))),
  sign: () => undefined,
};

export const unaryOp = defineOp<{ kind: UnaryKind }>({
  name: 'unary',
  shape([x], { kind }) {
    floating(kind, x!);
    return [x!];
  },
  gradient({ inputs, outputs, attrs, gradient }) {
    return [unaryGradients[attrs.kind](gradient(0)!, inputs[0]!, outputs[0]!)];
  },
});

/** 1 where the comparison holds, in the dtype of the operands. */
function indicator(kind: ComparisonKind, a: Tensor, b: Tensor): Tensor {
  return cast(emitOne(binaryOp, [a, b], { kind }), a.dtype);
}

/** d pow(a, b) / da. Where b is 0 it is 0, also at a = 0, where 0 * a^-1 is no number. */
function powSlope(a: Tensor, b: Tensor): Tensor {
  const { op, attrs } = b.node;
  const constant = op.name === 'fill' ? attrs['value'] : undefined;
  if (constant === 0) return a.graph.constant(0, [], a.dtype);
  const slope = mul(b, pow(a, sub(b, 1)));
  return constant === undefined ? where(equal(b, 0), 0, slope) : slope;
}

export const binaryOp = defineOp<{ kind: ArithmeticKind | ComparisonKind }>({
  name: 'binary',
  shape([a, b], { kind }) {
    if (a!.dtype !== b!.dtype) {
      throw shapeError(kind, `operands ${formatType(a!)} and ${formatType(b!)} differ in dtype; cast one of them`);
    }
    const shape = broadcastShapes(kind, a!.shape, b!.shape);
    return [{ shape, dtype: comparisons.includes(kind) ? 'i32' : a!.dtype }];
  },
  gradient({ inputs, outputs, attrs, gradient, needs, dtype }) {
    const [a, b] = inputs as [Tensor, Tensor];
    const g = gradient(0)!;
    const left = (value: () => Tensor) => (needs(0) ? unbroadcast(value(), a.shape, dtype(0)) : undefined);
    const right = (value: () => Tensor) => (needs(1) ? unbroadcast(value(), b.shape, dtype(1)) : undefined);
    switch (attrs.kind) {
      case 'add':
        return [left(() => g), right(() => g)];
      case 'sub':
        return [left(() => g), right(() => neg(g))];
      case 'mul':
        return [left(() => mul(g, b)), right(() => mul(g, a))];
      case 'div':
        return [left(() => div(g, b)), right(() => neg(mul(g, div(outputs[0]!, b))))];
      case 'pow':
        return [left(() => mul(g, powSlope(a, b))), right(() => mul(g, mul(outputs[0]!, log(a))))];
      case 'max':
        // At a tie the whole gradient goes to a.
        return [left(() => mul(g, indicator('greaterEqual', a, b))), right(() => mul(g, indicator('less', a, b)))];
      case 'min':
        return [left(() => mul(g, indicator('lessEqual', a, b))), right(() => mul(g, indicator('greater', a, b)))];
      default:
        return [];
    }
  },
});

export const scaleOp = defineOp<{ alpha: number; beta: number }>({
  name: 'scale',
  shape([x]) {
    floating('scale', x!);
    return [x!];
  },
  gradient: ({ attrs, gradient }) => [scale(gradient(0)!, attrs.alpha)],
});

export const selectOp: OpDefinition = defineOp({
  name: 'select',
  shape([condition, a, b]) {
    if (condition!.dtype !== 'i32' || a!.dtype !== b!.dtype) {
      throw shapeError(
        'where',
        `needs an i32 condition and two values of one dtype; got ${formatType(condition!)}, ${formatType(a!)} and ` +
          `${formatType(b!)} (use a comparison for the condition, cast for the values)`,
      );
    }
    if (!sameShape(condition!.shape, a!.shape) || !sameShape(a!.shape, b!.shape)) {
      throw shapeError('where', `shapes ${[condition, a, b].map((t) => formatShape(t!.shape)).join(', ')} differ`);
    }
    return [a!];
  },
  gradient({ inputs, gradient, needs }) {
    const g = gradient(0)!;
    const zero = g.graph.constant(0, g.shape, g.dtype);
    return [
      undefined,
      needs(1) ? emitOne(selectOp, [inputs[0]!, g, zero], {}) : undefined,
      needs(2) ? emitOne(selectOp, [inputs[0]!, zero, g], {}) : undefined,
    ];
  },
});

export const castOp = defineOp<{ dtype: DType }>({
  name: 'cast',
  shape: ([x], { dtype }) => [{ shape: x!.shape, dtype }],
  gradient({ inputs, attrs, gradient }) {
    if (inputs[0]!.dtype === 'i32' || attrs.dtype === 'i32') return [];
    return [cast(gradient(0)!, inputs[0]!.dtype)];
  },
});

/** y = x; lowering uses it where a value must exist twice (an input that is also an output). */
export const copyOp = defineOp<Record<never, never>>({
  name: 'copy',
  shape: ([x]) => [x!],
  gradient: ({ gradient }) => [gradient(0)],
});

/** y += x for f32 y and x f32 or bf16: how a contribution reaches a gradient buffer when its producer cannot add by itself. */
export const accumulateOp = defineOp<Record<never, never>>({
  name: 'accumulate',
  shape([x]) {
    floating('accumulate', x!);
    return [{ shape: x!.shape, dtype: 'f32' }];
  },
});

/** The public functions throw BAD_ARGUMENT for what is no tensor, and BAD_SHAPE as the op's shape rule says. */
function unary(kind: UnaryKind): (x: Tensor) => Tensor {
  const check = is.takes(kind, { x: is.tensor });
  return (x) => {
    check(x);
    return emitOne(unaryOp, [x], { kind });
  };
}

/**
 * -x.
 * @example
 * const y = neg(x); // the same as x.neg()
 */
export const neg = unary('neg');
/**
 * The absolute value of x.
 * @example
 * const y = abs(x); // the same as x.abs()
 */
export const abs = unary('abs');
/**
 * x * x.
 * @example
 * const y = square(x); // the same as x.square()
 */
export const square = unary('square');
/**
 * The square root of x.
 * @example
 * const y = sqrt(x); // the same as x.sqrt()
 */
export const sqrt = unary('sqrt');
/**
 * 1 / sqrt(x).
 * @example
 * const y = rsqrt(x); // the same as x.rsqrt()
 */
export const rsqrt = unary('rsqrt');
/**
 * 1 / x.
 * @example
 * const y = reciprocal(x); // the same as x.reciprocal()
 */
export const reciprocal = unary('reciprocal');
/**
 * e to the power x.
 * @example
 * const y = exp(x); // the same as x.exp()
 */
export const exp = unary('exp');
/**
 * Natural logarithm.
 * @example
 * const y = log(x); // the same as x.log()
 */
export const log = unary('log');
/**
 * The hyperbolic tangent of x.
 * @example
 * const y = tanh(x); // the same as x.tanh()
 */
export const tanh = unary('tanh');
/**
 * 1 / (1 + exp(-x)).
 * @example
 * const y = sigmoid(x); // the same as x.sigmoid()
 */
export const sigmoid = unary('sigmoid');
/**
 * The larger of x and 0.
 * @example
 * const y = relu(x); // the same as x.relu()
 */
export const relu = unary('relu');
/**
 * x * sigmoid(x).
 * @example
 * const y = silu(x); // the same as x.silu()
 */
export const silu = unary('silu');
/**
 * The error function of x.
 * @example
 * const y = erf(x); // the same as x.erf()
 */
export const erf = unary('erf');
/**
 * The sine of x, in radians.
 * @example
 * const y = sin(x); // the same as x.sin()
 */
export const sin = unary('sin');
/**
 * The cosine of x, in radians.
 * @example
 * const y = cos(x); // the same as x.cos()
 */
export const cos = unary('cos');
/**
 * -1, 0 or 1.
 * @example
 * const y = sign(x); // the same as x.sign()
 */
export const sign = unary('sign');

function operand(a: Tensor, b: Tensor | number): Tensor {
  return typeof b === 'number' ? a.graph.constant(b, [], a.dtype) : b;
}

function binary(kind: ArithmeticKind | ComparisonKind): (a: Tensor, b: Tensor | number) => Tensor {
  const name = kind === 'max' ? 'maximum' : kind === 'min' ? 'minimum' : kind;
  const check = is.takes(name, { a: is.tensor, b: is.operand });
  return (a, b) => {
    check(a, b);
    return emitOne(binaryOp, [a, operand(a, b)], { kind });
  };
}

/** A binary op whose plain-number form is a cheaper op on floating tensors. */
function binaryOr(kind: ArithmeticKind, byNumber: (a: Tensor, b: number) => Tensor | undefined) {
  const general = binary(kind);
  const check = is.takes(kind, { a: is.tensor, b: is.operand });
  return (a: Tensor, b: Tensor | number): Tensor => {
    check(a, b);
    return (typeof b === 'number' && a.dtype !== 'i32' ? byNumber(a, b) : undefined) ?? general(a, b);
  };
}

const takesScale = is.takes('scale', { x: is.tensor, alpha: is.anyNumber, beta: is.anyNumber });

/**
 * alpha * x + beta.
 * @param x f32 or bf16, of any shape.
 * @param alpha The factor.
 * @param beta What is added. Default: 0.
 * @example
 * const y = scale(x, 2, 1); // 2 x + 1
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function scale(x: Tensor, alpha: number, beta = 0): Tensor {
  takesScale(x, alpha, beta);

  return emitOne(scaleOp, [x], { alpha, beta });
}

/**
 * a + b; shapes broadcast as in numpy, b may be a number. So do all below.
 * @example
 * const y = add(a, b); // the same as a.add(b)
 * const z = add(a, 1);
 */
export const add = binaryOr('add', (a, b) => scale(a, 1, b));
/**
 * a - b. Shapes broadcast as in numpy; b may be a number.
 * @example
 * const y = sub(a, b); // the same as a.sub(b)
 */
export const sub = binaryOr('sub', (a, b) => scale(a, 1, -b));
/**
 * a * b, element by element. Shapes broadcast as in numpy; b may be a number.
 * @example
 * const y = mul(a, b); // the same as a.mul(b)
 */
export const mul = binaryOr('mul', (a, b) => scale(a, b));
/**
 * a / b. Shapes broadcast as in numpy; b may be a number.
 * @example
 * const y = div(a, b); // the same as a.div(b)
 */
export const div = binaryOr('div', (a, b) => scale(a, 1 / b));
/**
 * a to the power b. The gradient with respect to a tensor b needs a > 0.
 * @example
 * const y = pow(a, 3); // the same as a.pow(3)
 */
export const pow = binaryOr('pow', (a, b) => {
  const shortcuts: Record<string, (x: Tensor) => Tensor> = { 2: square, 0.5: sqrt, '-0.5': rsqrt, '-1': reciprocal };
  return shortcuts[b]?.(a);
});
/**
 * The larger of a and b. Shapes broadcast as in numpy; b may be a number.
 * @example
 * const y = maximum(a, b); // the same as a.maximum(b)
 */
export const maximum = binary('max');
/**
 * The smaller of a and b. Shapes broadcast as in numpy; b may be a number.
 * @example
 * const y = minimum(a, b); // the same as a.minimum(b)
 */
export const minimum = binary('min');
/**
 * a < b as i32 0 or 1. No gradient flows through comparisons.
 * @example
 * const y = less(a, b); // the same as a.less(b)
 */
export const less = binary('less');
/**
 * a <= b as i32 0 or 1. No gradient flows.
 * @example
 * const y = lessEqual(a, b); // the same as a.lessEqual(b)
 */
export const lessEqual = binary('lessEqual');
/**
 * a == b as i32 0 or 1. No gradient flows.
 * @example
 * const y = equal(a, b); // the same as a.equal(b)
 */
export const equal = binary('equal');
/**
 * a > b as i32 0 or 1. No gradient flows.
 * @example
 * const y = greater(a, b); // the same as a.greater(b)
 */
export const greater = binary('greater');
/**
 * a >= b as i32 0 or 1. No gradient flows.
 * @example
 * const y = greaterEqual(a, b); // the same as a.greaterEqual(b)
 */
export const greaterEqual = binary('greaterEqual');
/**
 * a != b as i32 0 or 1. No gradient flows.
 * @example
 * const y = notEqual(a, b); // the same as a.notEqual(b)
 */
export const notEqual = binary('notEqual');

const takesWhere = is.takes('where', { condition: is.tensor, a: is.operand, b: is.operand });

/**
 * a where `condition` (i32) is not 0, else b. The three broadcast; a and b may be numbers (one of them a tensor).
 * @example
 * const positive = where(x.greater(0), x, 0);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function where(condition: Tensor, a: Tensor | number, b: Tensor | number): Tensor {
  takesWhere(condition, a, b);

  const dtype = typeof a !== 'number' ? a.dtype : typeof b !== 'number' ? b.dtype : 'f32';
  const [x, y] = [a, b].map((v) => (typeof v === 'number' ? condition.graph.constant(v, [], dtype) : v)) as [
    Tensor,
    Tensor,
  ];
  const shape = broadcastShapes('where', broadcastShapes('where', x.shape, y.shape), condition.shape);
  return emitOne(selectOp, [broadcastTo(condition, shape), broadcastTo(x, shape), broadcastTo(y, shape)], {});
}

const takesCast = is.takes('cast', { x: is.tensor, dtype: is.dtype });

/**
 * x in another dtype; x itself when it has it. To i32: towards zero.
 * @example
 * const y = cast(x, 'bf16');
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function cast(x: Tensor, dtype: DType): Tensor {
  takesCast(x, dtype);

  return x.dtype === dtype ? x : emitOne(castOp, [x], { dtype });
}
