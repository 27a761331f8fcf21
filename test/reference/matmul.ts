/** Float64 definition of matmul. */
import { geluPair } from './elementwise.js';
import { broadcastOffset, forEachIndex, type ReferenceKernel } from './tensor.js';

export const matmulKernels: Record<string, ReferenceKernel> = {
  matmul([a, b, bias], [y], { transA, transB, activation }) {
    const [m, n] = y!.shape.slice(-2) as [number, number];
    const k = a!.shape.at(transA ? -2 : -1)!;
    const stack = (shape: readonly number[], index: readonly number[]) =>
      broadcastOffset(shape.slice(0, -2), index) * shape.at(-1)! * shape.at(-2)!;
    forEachIndex(y!.shape.slice(0, -2), (index, flat) => {
      const [aAt, bAt] = [stack(a!.shape, index), stack(b!.shape, index)];
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let total = bias?.data[j] ?? 0;
          for (let l = 0; l < k; l++) {
            total +=
              a!.data[aAt + (transA ? l * m + i : i * k + l)]! * b!.data[bAt + (transB ? j * k + l : l * n + j)]!;
          }
          y!.data[(flat * m + i) * n + j] =
            activation === 'none' ? total : geluPair(total, activation === 'geluTanh')[0];
        }
      }
    });
  },
};
