/** Float64 definitions of elementwise ops, GELU, SwiGLU and dropout. */
import { philox4x32 } from '../../lib/random/philox.js';
import { broadcastOffset, forEachIndex, type ReferenceKernel, rowsOf } from './tensor.js';

/** erf by its Maclaurin series up to |x| = 3, beyond that 1 - erfc by a continued fraction; about 1e-15. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a < 3) {
    let term = a;
    let total = a;
    for (let n = 1; Math.abs(term) > 1e-18 * total && n < 200; n++) {
      term *= (-a * a) / n;
      total += term / (2 * n + 1);
    }
    return (Math.sign(x) * 2 * total) / Math.sqrt(Math.PI);
  }
  let fraction = a;
  for (let n = 60; n > 0; n--) fraction = a + n / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * fraction));
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

const unaries: Record<string, (x: number) => number> = {
  neg: (x) => -x,
  abs: Math.abs,
  square: (x) => x * x,
  sqrt: Math.sqrt,
  rsqrt: (x) => 1 / Math.sqrt(x),
  reciprocal: (x) => 1 / x,
  exp: Math.exp,
  log: Math.log,
  tanh: Math.tanh,
  sigmoid,
  relu: (x) => Math.max(x, 0),
  silu: (x) => x * sigmoid(x),
  erf,
  sin: Math.sin,
  cos: Math.cos,
  sign: Math.sign,
};

const binaries: Record<string, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  pow: (a, b) => a ** b,
  max: Math.max,
  min: Math.min,
  less: (a, b) => Number(a < b),
  lessEqual: (a, b) => Number(a <= b),
  equal: (a, b) => Number(a === b),
  greater: (a, b) => Number(a > b),
  greaterEqual: (a, b) => Number(a >= b),
  notEqual: (a, b) => Number(a !== b),
};

function map(f: (x: number, attrs: Parameters<ReferenceKernel>[2]) => number): ReferenceKernel {
  return ([x], [y], attrs) => x!.data.forEach((value, i) => (y!.data[i] = f(value, attrs)));
}

const tanhScale = Math.sqrt(2 / Math.PI);

/** GELU and its derivative. */
export function geluPair(x: number, tanh: boolean): [number, number] {
  if (!tanh) {
    const phi = 0.5 * (1 + erf(x / Math.SQRT2));
    return [x * phi, phi + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI)];
  }
  const t = Math.tanh(tanhScale * (x + 0.044715 * x ** 3));
  const dt = (1 - t * t) * tanhScale * (1 + 3 * 0.044715 * x * x);
  return [0.5 * x * (1 + t), 0.5 * (1 + t) + 0.5 * x * dt];
}

/** Multipliers (0 or 1 / (1 - p)) of one row, by the rule of native/core/philox.h. */
export function dropoutRow(
  rng: ArrayLike<number>,
  stream: number,
  p: number,
  row: number,
  columns: number,
): Float64Array {
  const [low, high, step, micro] = Array.from(rng, (word) => word >>> 0) as [number, number, number, number];
  const threshold = p === 0 ? 0 : Math.min(Math.max(Math.round(p * 65536), 1), 65535);
  const keep = Math.fround(65536 / (65536 - threshold));
  const blocks = Math.ceil(columns / 8);
  return Float64Array.from({ length: columns }, (_, column) => {
    const block = Math.floor(column / 8);
    const j = column % 8;
    const word = philox4x32([row * blocks + block, stream, step, micro], [low, high])[j >> 1]!;
    const bits = j % 2 === 0 ? word & 0xffff : word >>> 16;
    return bits < threshold ? 0 : keep;
  });
}

export const elementwiseKernels: Record<string, ReferenceKernel> = {
  unary: map((x, { kind }) => unaries[kind as string]!(x)),
  scale: map((x, { alpha, beta }) => (alpha as number) * x + (beta as number)),
  cast: map((x, { dtype }) => (dtype === 'i32' ? Math.trunc(x) : x)),
  copy: map((x) => x),
  gelu: map((x, { tanh }) => geluPair(x, tanh as boolean)[0]),
  fill: (_, [y], { value }) => void y!.data.fill(value as number),
  accumulate: ([x], [y]) => x!.data.forEach((value, i) => (y!.data[i]! += value)),
  binary([a, b], [y], { kind }) {
    const f = binaries[kind as string]!;
    forEachIndex(y!.shape, (index, flat) => {
      y!.data[flat] = f(a!.data[broadcastOffset(a!.shape, index)]!, b!.data[broadcastOffset(b!.shape, index)]!);
    });
  },
  select: ([condition, a, b], [y]) =>
    condition!.data.forEach((value, i) => (y!.data[i] = (value !== 0 ? a! : b!).data[i]!)),
  geluBackward: ([dy, x], [dx], { tanh }) =>
    x!.data.forEach((value, i) => (dx!.data[i] = dy!.data[i]! * geluPair(value, tanh as boolean)[1])),
  swiglu([x], [y]) {
    const { rows, columns: width } = rowsOf(y!);
    for (let row = 0; row < rows; row++) {
      for (let c = 0; c < width; c++) {
        const gate = x!.data[2 * row * width + c]!;
        y!.data[row * width + c] = gate * sigmoid(gate) * x!.data[(2 * row + 1) * width + c]!;
      }
    }
  },
  swigluBackward([dy, x], [dx]) {
    const { rows, columns: width } = rowsOf(dy!);
    for (let row = 0; row < rows; row++) {
      for (let c = 0; c < width; c++) {
        const [gate, up] = [2 * row * width + c, (2 * row + 1) * width + c];
        const [z, dz] = [x!.data[gate]!, dy!.data[row * width + c]!];
        dx!.data[gate] = dz * x!.data[up]! * sigmoid(z) * (1 + z * (1 - sigmoid(z)));
        dx!.data[up] = dz * z * sigmoid(z);
      }
    }
  },
  dropout([x, rng], [y], { p, stream }) {
    const { rows, columns } = rowsOf(x!);
    for (let row = 0; row < rows; row++) {
      const multipliers = dropoutRow(rng!.data, stream as number, p as number, row, columns);
      for (let c = 0; c < columns; c++) y!.data[row * columns + c] = x!.data[row * columns + c]! * multipliers[c]!;
    }
  },
};
