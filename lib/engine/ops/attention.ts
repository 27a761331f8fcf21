/**
 * Multi-head scaled dot-product attention that never stores the T x T scores (FlashAttention, Dao et al. 2022). Several
 * query heads may share a key/value head (grouped-query attention, Ainslie et al. 2023, arXiv 2305.13245).
 */
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
  /** Divides `heads`: query head h attends with key/value head floor(h / (heads / keyValueHeads)). */
  keyValueHeads: number;
  scale: number;
  hasMask: boolean;
  p: number;
  stream: number;
};

/** Heads in a row of q, or of a packed row: query heads, key heads, value heads. */
function headsInRow({ packed, heads, keyValueHeads }: AttentionAttributes): number {
  return packed ? heads + 2 * keyValueHeads : heads;
}

/** Sizes: B sequences, Tq queries, Tk keys, D elements per head. */
function extents(inputs: readonly TensorType[], attrs: AttentionAttributes) {
  const [q, k] = inputs;
  const [batch, queries, row] = q!.shape as [number, number, number];
  return { batch, queries, keys: attrs.packed ? queries : k!.shape[1]!, head: row / headsInRow(attrs) };
}

function checkAttention(inputs: readonly TensorType[], attrs: AttentionAttributes): void {
  const { packed, heads, keyValueHeads } = attrs;
  const main = inputs.slice(0, packed ? 1 : 3);
  const listed = main.map(formatType).join(', ');
  if (main.some((x) => x.shape.length !== 3 || x.dtype === 'i32' || x.dtype !== main[0]!.dtype)) {
    throw shapeError(
      'attention',
      `needs ${packed ? 'qkv [B, T, row]' : 'q [B, Tq, row], k and v [B, Tk, row]'} of one floating dtype; got ${listed}`,
    );
  }
  const [q, k, v] = main;
  if (q!.shape[2]! % headsInRow(attrs) !== 0) {
    const parts = packed ? `${heads} query, ${keyValueHeads} key and ${keyValueHeads} value heads` : `${heads} heads`;
    throw shapeError('attention', `a row of ${q!.shape[2]} does not divide into ${parts}; got ${listed}`);
  }
  const { batch, queries, keys, head } = extents(inputs, attrs);
  if (k && v && (!sameShape(k.shape, v.shape) || k.shape[0] !== batch || k.shape[2] !== keyValueHeads * head)) {
    throw shapeError(
      'attention',
      `k and v must be [${batch}, Tk, ${keyValueHeads * head}], ${keyValueHeads} heads of ${head}; got ${listed}`,
    );
  }
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
  const { batch, queries, keys, head } = extents(inputs, attrs);
  const pairs = attrs.causal ? queries * (keys - queries) + (queries * (queries + 1)) / 2 : queries * keys;
  return 2 * batch * pairs * attrs.heads * head;
}

/** ([qkv | q, k, v], [mask], [rng]) -> (o [B, Tq, heads D], lse f32 [B, heads, Tq]). */
export const attentionOp = defineOp<AttentionAttributes>({
  name: 'attention',
  shape(inputs, attrs) {
    checkAttention(inputs, attrs);
    const { batch, queries, head } = extents(inputs, attrs);
    return [
      { shape: [batch, queries, attrs.heads * head], dtype: inputs[0]!.dtype },
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

/** Queries, keys and values: side by side in one tensor, or apart. */
export type AttentionSource = { readonly qkv: Tensor } | { readonly q: Tensor; readonly k: Tensor; readonly v: Tensor };

/** Throws BAD_ARGUMENT unless `keyValueHeads` key/value heads serve `heads` query heads evenly. */
export function checkHeads(op: string, heads: number, keyValueHeads: number): void {
  check(Number.isInteger(heads) && heads > 0, `${op}: heads must be a positive integer; got ${heads}`);
  check(
    Number.isInteger(keyValueHeads) && keyValueHeads > 0 && heads % keyValueHeads === 0,
    `${op}: keyValueHeads must be a positive integer that divides the ${heads} heads; got ${keyValueHeads}`,
  );
}

/** Options of {@link attention}. */
export interface AttentionOptions {
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads, each shared by heads / keyValueHeads neighbouring query heads. Default: `heads`. */
  readonly keyValueHeads?: number | undefined;
  /** Query i sees keys up to i (up to Tk - Tq + i when there are more keys than queries). */
  readonly causal?: boolean;
  /** i32 [B, Tk], 1 = attend, 0 = padding. */
  readonly mask?: Tensor | undefined;
  /** Drop probability on the attention weights. */
  readonly p?: number;
  /** Default 1 / sqrt(D). */
  readonly scale?: number;
}

const takesAttention = is.takes('attention', {
  source: is.either(is.options({ qkv: is.tensor }), is.options({ q: is.tensor, k: is.tensor, v: is.tensor })),
  options: is.options({
    heads: is.number,
    keyValueHeads: is.optional(is.number),
    causal: is.optional(is.boolean),
    mask: is.optional(is.tensor),
    p: is.optional(is.number),
    scale: is.optional(is.finite),
  }),
});

/**
 * softmax(scale Q K^T) V per head -> [B, Tq, heads D]. `qkv` [B, T, (heads + 2 keyValueHeads) D] holds query, key and
 * value heads side by side, D neighbouring elements each; or q is [B, Tq, heads D], k and v [B, Tk, keyValueHeads D].
 * All are f32 or bf16. A query that may attend to nothing gives 0.
 * @example
 * const qkv = graph.input('qkv', [2, 128, 3 * 64]); // [B, T, 3 C]
 * const y = attention({ qkv }, { heads: 4, causal: true }); // [B, T, C]
 * @throws {ApolloError} BAD_SHAPE where the tensors do not fit each other or the heads; BAD_ARGUMENT naming an argument
 * that is wrong, as keyValueHeads is where it does not divide heads.
 */
export function attention(source: AttentionSource, options: AttentionOptions): Tensor {
  takesAttention(source, options);

  const { heads, keyValueHeads = heads, causal = false, mask, p = 0 } = options;
  checkProbability('attention', p);
  checkHeads('attention', heads, keyValueHeads);
  const packed = 'qkv' in source;
  const main = packed ? [source.qkv] : [source.q, source.k, source.v];
  const graph = main[0]!.graph;
  check(main[0]!.shape.length === 3, `attention: needs tensors [B, T, row]; got ${formatShape(main[0]!.shape)}`);
  const rng = p > 0 ? [graph.rng()] : [];
  const attrs = {
    packed,
    causal,
    heads,
    keyValueHeads,
    scale: 1,
    hasMask: mask !== undefined,
    p,
    stream: p > 0 ? graph.nextStream() : 0,
  };
  const { scale = 1 / Math.sqrt(main[0]!.shape[2]! / headsInRow(attrs)) } = options;
  return emitOne(attentionOp, [...main, ...(mask ? [mask] : []), ...rng], { ...attrs, scale });
}
