/** Float64 definition of attention, with the T x T weights in full. */
import { dropoutRow } from './elementwise.js';
import type { ReferenceAttributes, ReferenceKernel, ReferenceTensor } from './tensor.js';

interface Head {
  readonly queries: number;
  readonly keys: number;
  readonly width: number;
  /** Position of element d of query or key i. */
  readonly q: (i: number, d: number) => number;
  readonly k: (i: number, d: number) => number;
  readonly v: (i: number, d: number) => number;
  readonly o: (i: number, d: number) => number;
  readonly lse: number;
  /** Softmax weights and dropout multipliers of query i. */
  readonly row: (i: number) => { weights: Float64Array; keep: Float64Array; lse: number };
}

/** Calls `body` for each head of each sequence with its addressing; [q, k, v] may be one packed tensor three times. */
function forEachHead(
  main: readonly ReferenceTensor[],
  rest: readonly ReferenceTensor[],
  attrs: ReferenceAttributes,
  body: (head: Head) => void,
): void {
  const { packed, causal, hasMask, scale, heads, keyValueHeads, p, stream } = attrs as {
    packed: boolean;
    causal: boolean;
    hasMask: boolean;
    scale: number;
    heads: number;
    keyValueHeads: number;
    p: number;
    stream: number;
  };
  const [q, k] = packed ? [main[0]!, main[0]!] : [main[0]!, main[1]!];
  const [batch, queries, last] = q.shape as [number, number, number];
  const keys = k.shape[1]!;
  const width = last / (packed ? heads + 2 * keyValueHeads : heads);
  const [channels, keyValueWidth] = [heads * width, keyValueHeads * width];
  const mask = hasMask ? rest[0] : undefined;
  const rng = p > 0 ? rest.at(-1) : undefined;
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const address = (positions: number, stride: number, offset: number) => (i: number, d: number) =>
        (b * positions + i) * stride + offset + d;
      const own = h * width;
      const theirs = Math.floor(h / (heads / keyValueHeads)) * width;
      const qAt = address(queries, last, own);
      const [kAt, vAt] = packed
        ? [address(queries, last, channels + theirs), address(queries, last, channels + keyValueWidth + theirs)]
        : [address(keys, keyValueWidth, theirs), address(keys, keyValueWidth, theirs)];
      const row = (i: number) => {
        const scores = Float64Array.from({ length: keys }, (_, j) => {
          if ((causal && j > i + keys - queries) || mask?.data[b * keys + j] === 0) return -Infinity;
          let total = 0;
          for (let d = 0; d < width; d++) total += q.data[qAt(i, d)]! * k.data[kAt(j, d)]!;
          return total * scale;
        });
        const most = scores.reduce((a, c) => Math.max(a, c));
        const total = scores.reduce((sum, s) => sum + Math.exp(s - most), 0);
        const dead = most === -Infinity;
        const index = (b * heads + h) * queries + i;
        return {
          weights: scores.map((s) => (dead ? 0 : Math.exp(s - most) / total)),
          keep: rng ? dropoutRow(rng.data, stream, p, index, keys) : new Float64Array(keys).fill(1),
          lse: dead ? 0 : most + Math.log(total),
        };
      };
      body({
        queries,
        keys,
        width,
        q: qAt,
        k: kAt,
        v: vAt,
        o: address(queries, channels, own),
        lse: (b * heads + h) * queries,
        row,
      });
    }
  }
}

export const attentionKernels: Record<string, ReferenceKernel> = {
  attention(inputs, [o, lse], attrs) {
    const main = inputs.slice(0, attrs.packed ? 1 : 3);
    const values = main.at(-1)!.data;
    forEachHead(main, inputs.slice(main.length), attrs, (head) => {
      for (let i = 0; i < head.queries; i++) {
        const { weights, keep, lse: logSum } = head.row(i);
        lse!.data[head.lse + i] = logSum;
        for (let d = 0; d < head.width; d++) {
          o!.data[head.o(i, d)] = weights.reduce((sum, w, j) => sum + w * keep[j]! * values[head.v(j, d)]!, 0);
        }
      }
    });
  },
  /** Reads neither o nor lse: it computes the weights again. */
  attentionBackward([dO, ...inputs], outputs, attrs) {
    const main = inputs.slice(0, attrs.packed ? 1 : 3);
    const [qData, kData, vData] = attrs.packed
      ? [main[0]!.data, main[0]!.data, main[0]!.data]
      : main.map((t) => t.data);
    const [dq, dk, dv] = attrs.packed
      ? [outputs[0]!.data, outputs[0]!.data, outputs[0]!.data]
      : outputs.map((t) => t.data);
    forEachHead(main, inputs.slice(main.length + 2), attrs, (head) => {
      for (let i = 0; i < head.queries; i++) {
        const { weights, keep } = head.row(i);
        const dWeights = weights.map((_, j) => {
          let total = 0;
          for (let d = 0; d < head.width; d++) total += dO!.data[head.o(i, d)]! * vData![head.v(j, d)]!;
          return total * keep[j]!;
        });
        const mean = weights.reduce((sum, w, j) => sum + w * dWeights[j]!, 0);
        for (let j = 0; j < head.keys; j++) {
          const ds = weights[j]! * (dWeights[j]! - mean) * (attrs.scale as number);
          for (let d = 0; d < head.width; d++) {
            dq![head.q(i, d)]! += ds * kData![head.k(j, d)]!;
            dk![head.k(j, d)]! += ds * qData![head.q(i, d)]!;
            dv![head.v(j, d)]! += weights[j]! * keep[j]! * dO!.data[head.o(i, d)]!;
          }
        }
      }
    });
  },
};
