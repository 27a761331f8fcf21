/** Float64 definitions of layerNorm, rmsNorm and their residual forms, forward and backward. */
import { dropoutRow } from './elementwise.js';
import { type ReferenceAttributes, type ReferenceKernel, type ReferenceTensor, rowsOf } from './tensor.js';

function normalize(
  x: ReferenceTensor,
  weight: ReferenceTensor,
  bias: ReferenceTensor,
  [y, mean, rstd]: readonly ReferenceTensor[],
  epsilon: number,
): void {
  const { rows, columns } = rowsOf(x);
  for (let row = 0; row < rows; row++) {
    const values = x.data.subarray(row * columns, (row + 1) * columns);
    const m = values.reduce((a, b) => a + b, 0) / columns;
    const variance = values.reduce((total, value) => total + (value - m) ** 2, 0) / columns;
    const r = 1 / Math.sqrt(variance + epsilon);
    mean!.data[row] = m;
    rstd!.data[row] = r;
    values.forEach((value, c) => (y!.data[row * columns + c] = (value - m) * r * weight.data[c]! + bias.data[c]!));
  }
}

/** dx = rstd (g - mean(g) - xhat mean(g xhat)) with g = dy weight; adds to dw and db. */
function normalizeBackward(
  [dy, x, mean, rstd, weight]: readonly ReferenceTensor[],
  [dx, dw, db]: readonly ReferenceTensor[],
): void {
  const { rows, columns } = rowsOf(x!);
  for (let row = 0; row < rows; row++) {
    const at = row * columns;
    const hat = (c: number) => (x!.data[at + c]! - mean!.data[row]!) * rstd!.data[row]!;
    let [sumG, sumGHat] = [0, 0];
    for (let c = 0; c < columns; c++) {
      const g = dy!.data[at + c]! * weight!.data[c]!;
      sumG += g;
      sumGHat += g * hat(c);
      dw!.data[c]! += dy!.data[at + c]! * hat(c);
      db!.data[c]! += dy!.data[at + c]!;
    }
    for (let c = 0; c < columns; c++) {
      const g = dy!.data[at + c]! * weight!.data[c]!;
      dx!.data[at + c] = rstd!.data[row]! * (g - sumG / columns - (hat(c) * sumGHat) / columns);
    }
  }
}

/** sum = residual + x * multiplier. */
function addBranch(
  [x, residual, rng]: readonly (ReferenceTensor | undefined)[],
  sum: ReferenceTensor,
  { p, stream }: ReferenceAttributes,
): void {
  const { rows, columns } = rowsOf(x!);
  for (let row = 0; row < rows; row++) {
    const keep = rng ? dropoutRow(rng.data, stream as number, p as number, row, columns) : undefined;
    for (let c = 0; c < columns; c++) {
      const i = row * columns + c;
      sum.data[i] = residual!.data[i]! + x!.data[i]! * (keep?.[c] ?? 1);
    }
  }
}

/** Adds dsum, if there is one, to the sum's gradient; the dropped branch's gradient is that by the multipliers. */
function splitGradient(
  rest: readonly ReferenceTensor[],
  [dResidual, dx]: readonly [ReferenceTensor, ReferenceTensor | undefined],
  { hasDsum, p, stream }: ReferenceAttributes,
): void {
  const dsum = hasDsum ? rest[0] : undefined;
  dsum?.data.forEach((value, i) => (dResidual.data[i]! += value));
  if (!dx) return;
  const rng = rest.at(-1)!;
  const { rows, columns } = rowsOf(dResidual);
  for (let row = 0; row < rows; row++) {
    const keep = dropoutRow(rng.data, stream as number, p as number, row, columns);
    for (let c = 0; c < columns; c++) dx.data[row * columns + c] = dResidual.data[row * columns + c]! * keep[c]!;
  }
}

function rmsNormalize(
  [x, weight]: readonly ReferenceTensor[],
  [y, rstd]: readonly ReferenceTensor[],
  epsilon: number,
): void {
  const { rows, columns } = rowsOf(x!);
  for (let row = 0; row < rows; row++) {
    const values = x!.data.subarray(row * columns, (row + 1) * columns);
    const r = 1 / Math.sqrt(values.reduce((total, value) => total + value * value, 0) / columns + epsilon);
    rstd!.data[row] = r;
    values.forEach((value, c) => (y!.data[row * columns + c] = value * r * weight!.data[c]!));
  }
}

/** dx = rstd (g - xhat mean(g xhat)) with g = dy weight and xhat = x rstd; adds to dw. */
function rmsNormalizeBackward(
  [dy, x, rstd, weight]: readonly ReferenceTensor[],
  [dx, dw]: readonly ReferenceTensor[],
): void {
  const { rows, columns } = rowsOf(x!);
  for (let row = 0; row < rows; row++) {
    const at = row * columns;
    const r = rstd!.data[row]!;
    let total = 0;
    for (let c = 0; c < columns; c++) {
      const product = dy!.data[at + c]! * x!.data[at + c]! * r;
      total += product * weight!.data[c]!;
      dw!.data[c]! += product;
    }
    for (let c = 0; c < columns; c++) {
      dx!.data[at + c] = r * (dy!.data[at + c]! * weight!.data[c]! - (x!.data[at + c]! * r * total) / columns);
    }
  }
}

export const normKernels: Record<string, ReferenceKernel> = {
  layerNorm: ([x, weight, bias], outputs, { epsilon }) => normalize(x!, weight!, bias!, outputs, epsilon as number),
  layerNormBackward: (inputs, outputs) => normalizeBackward(inputs, outputs),
  residualNorm([x, residual, weight, bias, rng], [y, sum, mean, rstd], attrs) {
    addBranch([x, residual, rng], sum!, attrs);
    normalize(sum!, weight!, bias!, [y!, mean!, rstd!], attrs.epsilon as number);
  },
  residualNormBackward([dy, sum, mean, rstd, weight, ...rest], [dResidual, dw, db, dx], attrs) {
    normalizeBackward([dy!, sum!, mean!, rstd!, weight!], [dResidual!, dw!, db!]);
    splitGradient(rest, [dResidual!, dx], attrs);
  },
  rmsNorm: (inputs, outputs, { epsilon }) => rmsNormalize(inputs, outputs, epsilon as number),
  rmsNormBackward: (inputs, outputs) => rmsNormalizeBackward(inputs, outputs),
  residualRmsNorm([x, residual, weight, rng], [y, sum, rstd], attrs) {
    addBranch([x, residual, rng], sum!, attrs);
    rmsNormalize([sum!, weight!], [y!, rstd!], attrs.epsilon as number);
  },
  residualRmsNormBackward([dy, sum, rstd, weight, ...rest], [dResidual, dw, dx], attrs) {
    rmsNormalizeBackward([dy!, sum!, rstd!, weight!], [dResidual!, dw!]);
    splitGradient(rest, [dResidual!, dx], attrs);
  },
};
