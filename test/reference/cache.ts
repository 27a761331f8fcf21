/** Float64 definitions of attention over a cache: appendToCache works in place on its outputs. */
import type { ReferenceKernel } from './tensor.js';

export const cacheKernels: Record<string, ReferenceKernel> = {
  appendToCache([qkv, , , positions], [keys, values]) {
    const [rows, tokens] = qkv!.shape as [number, number, number];
    const [batch, length, width] = keys!.shape as [number, number, number];
    for (let b = 0; b < batch; b++) {
      for (let t = 0; t < tokens; t++) {
        const token = (b % rows) * tokens + t;
        const to = (b * length + positions!.data[token]!) * width;
        const from = token * 3 * width;
        keys!.data.set(qkv!.data.subarray(from + width, from + 2 * width), to);
        values!.data.set(qkv!.data.subarray(from + 2 * width, from + 3 * width), to);
      }
    }
  },
  cachedAttention([qkv, keys, values, positions], [o], attrs) {
    const [batch, length, width] = keys!.shape as [number, number, number];
    const tokens = qkv!.shape[1]!;
    const { heads, scale } = attrs as { heads: number; scale: number };
    const head = width / heads;
    for (let row = 0; row < batch * tokens; row++) {
      const cache = Math.floor(row / tokens) * length * width;
      const count = positions!.data[row]! + 1;
      for (let first = 0; first < width; first += head) {
        const weights = Float64Array.from({ length: count }, (_, j) => {
          let score = 0;
          for (let d = first; d < first + head; d++) {
            score += qkv!.data[row * 3 * width + d]! * keys!.data[cache + j * width + d]!;
          }
          return Math.exp(scale * score);
        });
        const total = weights.reduce((a, b) => a + b);
        for (let d = first; d < first + head; d++) {
          o!.data[row * width + d] =
            weights.reduce((sum, w, j) => sum + w * values!.data[cache + j * width + d]!, 0) / total;
        }
      }
    }
  },
};
