/** Float64 definitions of attention over a cache: appendToCache works in place on its outputs. */
import type { ReferenceKernel } from './tensor.js';

export const cacheKernels: Record<string, ReferenceKernel> = {
  appendToCache([qkv, , , positions], [keys, values]) {
    const [rows, tokens, row] = qkv!.shape as [number, number, number];
    const [batch, length, width] = keys!.shape as [number, number, number];
    for (let b = 0; b < batch; b++) {
      for (let t = 0; t < tokens; t++) {
        const token = (b % rows) * tokens + t;
        const to = (b * length + positions!.data[token]!) * width;
        const end = (token + 1) * row;
        keys!.data.set(qkv!.data.subarray(end - 2 * width, end - width), to);
        values!.data.set(qkv!.data.subarray(end - width, end), to);
      }
    }
  },
  cachedAttention([qkv, keys, values, positions], [o], attrs) {
    const [, length, width] = keys!.shape as [number, number, number];
    const [, tokens, packed] = qkv!.shape as [number, number, number];
    const { heads, keyValueHeads, scale } = attrs as { heads: number; keyValueHeads: number; scale: number };
    const head = width / keyValueHeads;
    positions!.data.forEach((position, row) => {
      for (let h = 0; h < heads; h++) {
        const query = row * packed + h * head;
        const cache = Math.floor(row / tokens) * length * width + Math.floor(h / (heads / keyValueHeads)) * head;
        const weights = Float64Array.from({ length: position + 1 }, (_, j) => {
          let score = 0;
          for (let d = 0; d < head; d++) score += qkv!.data[query + d]! * keys!.data[cache + j * width + d]!;
          return Math.exp(scale * score);
        });
        const total = weights.reduce((a, b) => a + b);
        for (let d = 0; d < head; d++) {
          o!.data[(row * heads + h) * head + d] =
            weights.reduce((sum, w, j) => sum + w * values!.data[cache + j * width + d]!, 0) / total;
        }
      }
    });
  },
};
