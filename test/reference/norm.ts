/** Float64 definitions of layerNorm and residualNorm, forward and backward. */
import { dropoutRow } from './elementwise.js';
import { type ReferenceKernel, type ReferenceTensor, rowsOf } from './tensor.js';

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

export const normKernels: Record<string, ReferenceKernel> = {
  layerNorm: ([x, weight, bias], outputs, { epsilon }) => normalize(x!, weight!, bias!, outputs, epsilon as number),
  layerNormBackward: (inputs, outputs) => normalizeBackward(inputs, outputs),
  residualNorm([x, residual, weight, bias, rng], [y, sum, mean, rstd], { epsilon, p, stream }) {
    const { rows, columns } = rowsOf(x!);
    for (let row = 0; row < rows; row++) {
      const keep = rng ? dropoutRow(rng.data, stream as number, p as number, row, columns) : undefined;
      for (let c = 0; c < columns; c++) {
        const i = row * columns + c;
        sum!.data[i] = residual!.data[i]! + x!.data[i]! * (keep?.[c] ?? 1);
      }
    }
    normalize(sum!, weight!, bias!, [y!, mean!, rstd!], epsilon as number);
  },
  residualNormBackward([dy, sum, mean, rstd, weight, ...rest], [dResidual, dw, db, dx], { hasDsum, p, stream }) {
    normalizeBackward([dy!, sum!, mean!, rstd!, weight!], [dResidual!, dw!, db!]);
    const dsum = hasDsum ? rest[0] : undefined;
    dsum?.data.forEach((value, i) => (dResidual!.data[i]! += value));
    if (!dx) return;
    const rng = rest.at(-1)!;
    const { rows, columns } = rowsOf(sum!);
    for (let row = 0; row < rows; row++) {
      const keep = dropoutRow(rng.data, stream as number, p as number, row, columns);
      for (let c = 0; c < columns; c++) dx.data[row * columns + c] = dResidual!.data[row * columns + c]! * keep[c]!;
    }
  },
};
