/** Multi-head scaled dot-product attention that never stores the T x T scores (FlashAttention, Dao et al. 2022). */
import { check } from '../../errors.js';
import * as is from '../../is.js';
import type { Tensor } from '../graph.js';
import { formatShape, formatType, sameShape, shapeError, type TensorType } from '../shape.js';
import { defineOp, emit, emitOne } from './define.js';
import { checkProbability } from './dropout.js';

export type AttentionAttributes = {
  packed: boolean;
  causal: boolean;
  heads: number;
  scale: number;
  hasMask: boolean;
  p: number;
  stream: number;
};

/** Sizes: B sequences, Tq queries, Tk keys, C width. */
function extents(inputs: readonly TensorType[], packed: boolean) {
  const [q, k] = inputs;
  const [batch, queries, width] = q!.shape as [number, number, number];
  return { batch, queries, keys: packed ? queries : k!.shape[1]!, width: packed ? width / 3 : width };
}

function checkAttention(inputs: readonly TensorType[], attrs: AttentionAttributes): void {
  const main = inputs.slice(0, attrs.packed ? 1 : 3);
  const listed = main.map(formatType).join(', ');
  if (main.some((x) => x.shape.length !== 3 || x.dtype === 'i32' || x.dtype !== main[0]!.dtype)) {
    throw shapeError(
      'attention',
      `needs ${attrs.packed ? 'qkv [B, T, 3C]' : 'q [B, Tq, C], k and v [B, Tk, C]'} of one floating dtype; got ${listed}`,
    );
  }
  const [q, k, v] = main;
  if (attrs.packed && q!.shape[2]! % 3 !== 0)
    throw shapeError('attention', `the last extent of qkv must be 3 C; got ${listed}`);
  if (k && v && (!sameShape(k.shape, v.shape) || k.shape[0] !== q!.shape[0] || k.shape[2] !== q!.shape[2])) {
    throw shapeError('attention', `q, k and v must agree in B and C, k and v in Tk; got ${listed}`);
  }
  const { batch, queries, keys, width } = extents(inputs, attrs.packed);
  if (width % attrs.heads !== 0)
    throw shapeError('attention', `width ${width} does not divide into ${attrs.heads} heads`);
  if (attrs.causal && queries > keys) {
    throw shapeError(
      'attention',
      `causal attention needs at least as many keys as queries; got ${queries} queries, ${keys} keys`,
    );
  }
  const mask = attrs.hasMask ? inputs[main.length] : undefined;
  if (mask && (mask.dtype !== 'i32' || !sameShape(mask.shape, [batch, keys]))) {
    throw shapeError('attention', `mask must be i32 [${batch}, ${keys}] (1 = attend); got ${formatType(mask)}`);
  }
}

/** Products of one forward matmul (scores, or weighted values), multiply-adds x 2; causal counts what is attended. */
function squareFlops(inputs: readonly TensorType[], attrs: AttentionAttributes): number {
  const { batch, queries, keys, width } = extents(inputs, attrs.packed);
  const pairs = attrs.causal ? queries * (keys - queries) + (queries * (queries + 1)) / 2 : queries * keys;
  return 2 * batch * pairs * width;
}

/** ([qkv | q, k, v], [mask], [rng]) -> (o [B, Tq, C], lse f32 [B, H, Tq]). */
export const attentionOp = defineOp<AttentionAttributes>({
  name: 'attention',
  shape(inputs, attrs) {
    checkAttention(inputs, attrs);
    const { batch, queries, width } = extents(inputs, attrs.packed);
    return [
      { shape: [batch, queries, width], dtype: inputs[0]!.dtype },
      { shape: [batch, attrs.heads, queries], dtype: 'f32' },
    ];
  },
  gradient({ inputs, outputs, attrs, gradient }) {
    const main = attrs.packed ? 1 : 3;
    return emit(
      attentionBackwardOp,
      [gradient(0)!, ...inputs.slice(0, main), outputs[0]!, outputs[1]!, ...inputs.slice(main)],
      attrs,
    );
  },
  flops: (inputs, _, attrs) => 2 * squareFlops(inputs, attrs),
});

/** (dO, [qkv | q, k, v], o, lse, [mask], [rng]) -> dqkv, or dq, dk, dv. */
export const attentionBackwardOp = defineOp<AttentionAttributes>({
  name: 'attentionBackward',
  shape: (inputs, { packed }) => inputs.slice(1, packed ? 2 : 4),
  // Scores again, then dV, dP, dQ, dK.
  flops: (inputs, _, attrs) => 5 * squareFlops(inputs.slice(1), attrs),
});

export type AttentionSource = { readonly qkv: Tensor } | { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor };

export interface AttentionOptions {
  readonly heads: number;
  /** Query i sees keys up to i (up to Tk - Tq + i when there are more keys than queries). */
  readonly causal?: boolean;
  /** i32 [B, Tk], 1 = attend, 0 = padding. */
  readonly mask?: Tensor | undefined;
  /** Drop probability on the attention weights. */
  readonly p?: number;
  /** Default 1 / sqrt(C / heads). */
  readonly scale?: number;
}

const takesAttention = is.takes('attention', {
  source: is.either(is.options({ qkv: is.tensor }), is.options({ q: is.tensor, k: is.tensor, v: is.tensor })),
  options: is.options({
    heads: is.number,
    causal: is.optional(is.boolean),
    mask: is.optional(is.tensor),
    p: is.optional(is.number),
    scale: is.optional(is.finite),
  }),
});

/**
 * softmax(scale Q K^T) V per head -> [B, Tq, C]. `qkv` [B, T, 3C] holds q, k, v side by side; heads are C / heads
 * neighbours each. A query that may attend to nothing gives 0.
 * @throws ApolloError BAD_SHAPE, BAD_ARGUMENT.
 */
export function attention(source: AttentionSource, options: AttentionOptions): Tensor {
  takesAttention(source, options);

  const { heads, causal = false, mask, p = 0 } = options;
  checkProbability('attention', p);
  const packed = 'qkv' in source;
  const main = packed ? [source.qkv] : [source.q, source.k, source.v];
  const graph = main[0]!.graph;
  check(Number.isInteger(heads) && heads > 0, `attention: heads must be a positive integer; got ${heads}`);
  check(main[0]!.shape.length === 3, `attention: needs tensors [B, T, C]; got ${formatShape(main[0]!.shape)}`);
  const width = main[0]!.shape[2]! / (packed ? 3 : 1);
  const { scale = 1 / Math.sqrt(width / heads) } = options;
  const rng = p > 0 ? [graph.rng()] : [];
  return emitOne(attentionOp, [...main, ...(mask ? [mask] : []), ...rng], {
    packed,
    causal,
    heads,
    scale,
    hasMask: mask !== undefined,
    p,
    stream: p > 0 ? graph.nextStream() : 0,
  });
}
