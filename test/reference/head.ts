/** Float64 definitions of the language-model losses. */
import type { ReferenceKernel, ReferenceTensor } from './tensor.js';

const ignored = -100;

/** Softmax of a row, and -log of the label's entry (0 when the label is ignored). */
function rowLoss(logits: Float64Array, label: number): { weights: Float64Array; loss: number; lse: number } {
  if (label !== ignored && (label < 0 || label >= logits.length))
    throw new Error(`label ${label} is outside [0, ${logits.length})`);
  const most = logits.reduce((a, b) => Math.max(a, b));
  const lse = most + Math.log(logits.reduce((sum, value) => sum + Math.exp(value - most), 0));
  return {
    weights: logits.map((value) => Math.exp(value - lse)),
    loss: label === ignored ? 0 : lse - logits[label]!,
    lse,
  };
}

function counted(labels: ReferenceTensor): number {
  return labels.data.reduce((count, label) => count + Number(label !== ignored), 0);
}

function headLogits(
  x: ReferenceTensor,
  table: ReferenceTensor,
  bias: ReferenceTensor | undefined,
  row: number,
): Float64Array {
  const [vocabulary, columns] = table.shape as [number, number];
  return Float64Array.from({ length: vocabulary }, (_, v) => {
    let total = bias?.data[v] ?? 0;
    for (let c = 0; c < columns; c++) total += x.data[row * columns + c]! * table.data[v * columns + c]!;
    return total;
  });
}

export const headKernels: Record<string, ReferenceKernel> = {
  lmHeadLoss([x, table, ...rest], [loss, count], { hasBias }) {
    const [bias, labels] = hasBias ? [rest[0], rest[1]!] : [undefined, rest[0]!];
    count!.data[0] = counted(labels);
    labels.data.forEach((label, row) => (loss!.data[0]! += rowLoss(headLogits(x!, table!, bias, row), label).loss));
    loss!.data[0]! /= Math.max(1, count!.data[0]);
  },
  lmHeadLossGradient([x, table, ...rest], [loss, count, dx, dTable, dBias], { hasBias }) {
    const [bias, labels, g] = hasBias ? [rest[0], rest[1]!, rest[2]!] : [undefined, rest[0]!, rest[1]!];
    const columns = x!.shape[1]!;
    const total = Math.max(1, counted(labels));
    count!.data[0] = counted(labels);
    labels.data.forEach((label, row) => {
      const { weights, loss: value } = rowLoss(headLogits(x!, table!, bias, row), label);
      loss!.data[0]! += value / total;
      if (label === ignored) return;
      weights.forEach((weight, v) => {
        const d = ((weight - Number(v === label)) * g.data[0]!) / total;
        for (let c = 0; c < columns; c++) {
          dx!.data[row * columns + c]! += d * table!.data[v * columns + c]!;
          dTable!.data[v * columns + c]! += d * x!.data[row * columns + c]!;
        }
        if (dBias) dBias.data[v]! += d;
      });
    });
  },
  crossEntropy([logits, labels], [loss, count, lse]) {
    const vocabulary = logits!.shape[1]!;
    count!.data[0] = counted(labels!);
    labels!.data.forEach((label, row) => {
      const result = rowLoss(logits!.data.slice(row * vocabulary, (row + 1) * vocabulary), label);
      lse!.data[row] = result.lse;
      loss!.data[0]! += result.loss / Math.max(1, count!.data[0]!);
    });
  },
  crossEntropyBackward([g, logits, labels, , count], [dLogits]) {
    const vocabulary = logits!.shape[1]!;
    labels!.data.forEach((label, row) => {
      if (label === ignored) return;
      const { weights } = rowLoss(logits!.data.slice(row * vocabulary, (row + 1) * vocabulary), label);
      weights.forEach((weight, v) => {
        dLogits!.data[row * vocabulary + v] = ((weight - Number(v === label)) * g!.data[0]!) / count!.data[0]!;
      });
    });
  },
};
