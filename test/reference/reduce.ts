/** Float64 definitions of reductions, broadcast and softmax. */
import { broadcastOffset, forEachIndex, type ReferenceKernel, rowsOf } from './tensor.js';

export const reduceKernels: Record<string, ReferenceKernel> = {
  reduce([x], [y], { kind, axes }) {
    const kept = x!.shape.map((extent, axis) => ((axes as number[]).includes(axis) ? 1 : extent));
    const start = kind === 'max' ? -Infinity : kind === 'min' ? Infinity : 0;
    y!.data.fill(start);
    forEachIndex(x!.shape, (index, flat) => {
      const at = broadcastOffset(kept, index);
      const [value, so] = [x!.data[flat]!, y!.data[at]!];
      y!.data[at] = kind === 'max' ? Math.max(so, value) : kind === 'min' ? Math.min(so, value) : so + value;
    });
    if (kind === 'mean') y!.data.forEach((value, i) => (y!.data[i] = (value * y!.data.length) / x!.data.length));
  },
  broadcast: ([x], [y]) =>
    forEachIndex(y!.shape, (index, flat) => (y!.data[flat] = x!.data[broadcastOffset(x!.shape, index)]!)),
  columnSum([x], [y]) {
    const { columns } = rowsOf(x!);
    x!.data.forEach((value, i) => (y!.data[i % columns]! += value));
  },
  argmax([x], [y]) {
    const { rows, columns } = rowsOf(x!);
    for (let row = 0; row < rows; row++) {
      const values = x!.data.subarray(row * columns, (row + 1) * columns);
      y!.data[row] = values.indexOf(values.reduce((a, b) => Math.max(a, b)));
    }
  },
  softmax([x], [y], { log }) {
    const { rows, columns } = rowsOf(x!);
    for (let row = 0; row < rows; row++) {
      const values = x!.data.subarray(row * columns, (row + 1) * columns);
      const most = values.reduce((a, b) => Math.max(a, b));
      const lse = most + Math.log(values.reduce((total, value) => total + Math.exp(value - most), 0));
      values.forEach((value, c) => (y!.data[row * columns + c] = log ? value - lse : Math.exp(value - lse)));
    }
  },
  softmaxBackward([dy, y], [dx], { log }) {
    const { rows, columns } = rowsOf(y!);
    for (let row = 0; row < rows; row++) {
      const at = row * columns;
      let total = 0;
      for (let i = at; i < at + columns; i++) total += log ? dy!.data[i]! : dy!.data[i]! * y!.data[i]!;
      for (let i = at; i < at + columns; i++) {
        dx!.data[i] = log ? dy!.data[i]! - Math.exp(y!.data[i]!) * total : y!.data[i]! * (dy!.data[i]! - total);
      }
    }
  },
};
