/**
 * Attention over a cache of keys and values, for decoding: the new tokens' keys and values are written into two states,
 * and their queries attend to what these hold. Neither op has a gradient: models are trained on whole sequences.
 */
import * as is from '../../is.js';
import type { Tensor } from '../graph.js';
import { formatType, shapeError, type TensorType } from '../shape.js';
import { checkHeads } from './attention.js';
import { defineOp, emit, emitOne } from './define.js';

/**
 * Sizes: B sequences, L positions of the cache, T new tokens, C elements of a cached row: keyValueHeads heads of D. A row
 * of qkv holds the query heads, whose number is a multiple of that of the key/value heads, and a row of keys and values.
 */
function checkCache(op: string, [qkv, keys, values, positions]: readonly TensorType[], oneForAll: boolean): void {
  const listed = [qkv!, keys!, values!, positions!].map(formatType).join(', ');
  const fits =
    [qkv!, keys!, values!].every(({ shape, dtype }) => shape.length === 3 && dtype !== 'i32' && dtype === qkv!.dtype) &&
    qkv!.shape[2]! % keys!.shape[2]! === 0 &&
    qkv!.shape[2]! >= 3 * keys!.shape[2]! &&
    keys!.shape.join() === values!.shape.join();
  if (!fits) {
    throw shapeError(
      op,
      'needs qkv [B, T, 3C] (where query heads share keys a higher multiple of C), ' +
        `keys and values [B, L, C] of one floating dtype, positions; got ${listed}`,
    );
  }
  const [rows, tokens] = qkv!.shape;
  const [batch, length] = keys!.shape;
  if (rows !== batch && !(oneForAll && rows === 1)) {
    throw shapeError(op, `qkv has ${rows} sequences and the cache ${batch}; got ${listed}`);
  }
  if (tokens! > length!)
    throw shapeError(op, `${tokens} tokens do not fit a cache of ${length} positions; got ${listed}`);
  if (positions!.dtype !== 'i32' || positions!.shape.join() !== `${rows},${tokens}`) {
    throw shapeError(op, `positions must be i32 [${rows}, ${tokens}], one for each new token; got ${listed}`);
  }
}

/** (qkv [B | 1, T, nC], keys [B, L, C], values [B, L, C], positions i32 [B | 1, T]) -> keys, values, in place. */
export const appendToCacheOp = defineOp<Record<never, never>>({
  name: 'appendToCache',
  inPlace: { 0: 1, 1: 2 },
  shape(inputs) {
    checkCache('appendToCache', inputs, true);
    return inputs.slice(1, 3);
  },
});

/** (qkv [B, T, nC], keys [B, L, C], values [B, L, C], positions i32 [B, T]) -> o [B, T, heads D]. */
export const cachedAttentionOp = defineOp<{ heads: number; keyValueHeads: number; scale: number }>({
  name: 'cachedAttention',
  shape(inputs, { heads, keyValueHeads }) {
    checkCache('cachedAttention', inputs, false);
    const [qkv, keys] = inputs as [TensorType, TensorType];
    const [batch, tokens, row] = qkv.shape as [number, number, number];
    const width = keys.shape[2]!;
    if (width % keyValueHeads !== 0) {
      throw shapeError('cachedAttention', `width ${width} does not divide into ${keyValueHeads} heads`);
    }
    const head = width / keyValueHeads;
    if (row !== (heads + 2 * keyValueHeads) * head) {
      throw shapeError(
        'cachedAttention',
        `qkv must have rows of ${heads} query, ${keyValueHeads} key and ${keyValueHeads} value heads of ${head}; ` +
          `got ${formatType(qkv)}`,
      );
    }
    return [{ shape: [batch, tokens, heads * head], dtype: qkv.dtype }];
  },
  // How far the cache is filled is data: its whole length is counted, the most that a run does.
  flops: ([, keys], [o]) => 4 * o!.shape[0]! * o!.shape[1]! * keys!.shape[1]! * o!.shape[2]!,
});

/** Keys and values of earlier positions, each [B, L, C] with C = keyValueHeads D. */
export interface AttentionCache {
  /** Keys [B, L, C], f32 or bf16; `appendToCache` needs a state of the graph. */
  readonly keys: Tensor;
  /** Values, of the shape and dtype of `keys`; likewise a state. */
  readonly values: Tensor;
}

const takesAppendToCache = is.takes('appendToCache', {
  qkv: is.tensor,
  cache: is.options({ keys: is.tensor, values: is.tensor }),
  positions: is.tensor,
});

/**
 * Writes the keys and values of `qkv` into the states `cache`, token t of sequence b at positions[b, t]; a qkv of one
 * sequence goes into all of them. A row of qkv [B, T, nC] ends with a key row and a value row of the cache's C elements.
 * Of tokens of a sequence at one position the last one stays. Returns the cache as it is then. A run with a position outside
 * [0, L) is rejected.
 * @example
 * const cache = { keys: graph.state('keys', [1, 64, 32]), values: graph.state('values', [1, 64, 32]) };
 * appendToCache(x, cache, graph.input('positions', [1, 1], 'i32'));
 * @throws {ApolloError} BAD_SHAPE where the tensors do not fit each other, BAD_ARGUMENT naming an argument that is wrong.
 */
export function appendToCache(qkv: Tensor, cache: AttentionCache, positions: Tensor): AttentionCache {
  takesAppendToCache(qkv, cache, positions);
  const { keys, values } = cache;
  const [newKeys, newValues] = emit(appendToCacheOp, [qkv, keys, values, positions], {}) as [Tensor, Tensor];
  return { keys: newKeys, values: newValues };
}

const takesCachedAttention = is.takes('cachedAttention', {
  qkv: is.tensor,
  cache: is.options({ keys: is.tensor, values: is.tensor }),
  positions: is.tensor,
  options: is.options({ heads: is.number, keyValueHeads: is.optional(is.number), scale: is.optional(is.finite) }),
});

/**
 * softmax(scale q K^T) V per head -> [B, T, heads D], with q out of `qkv` [B, T, (heads + 2 keyValueHeads) D] and K, V the
 * first positions[b, t] + 1 positions of the cache: those up to the token's own, which must have been appended. As in
 * `attention`, query heads may share key/value heads; keyValueHeads is `heads` unless given.
 * @param qkv Queries, keys and values side by side, [B, T, (heads + 2 keyValueHeads) D].
 * @param cache Keys and values of all positions so far, each [B, L, keyValueHeads D].
 * @param positions Position of each token, i32 [B, T], from 0.
 * @param options Heads and scale.
 * @example
 * const cache = { keys: graph.state('keys', [1, 64, 32]), values: graph.state('values', [1, 64, 32]) };
 * const y = cachedAttention(x, cache, graph.input('positions', [1, 1], 'i32'), { heads: 4 });
 * @throws {ApolloError} BAD_SHAPE where the tensors do not fit each other or the heads, BAD_ARGUMENT naming an argument
 * that is wrong.
 */
export function cachedAttention(
  qkv: Tensor,
  cache: AttentionCache,
  positions: Tensor,
  options: {
    /** Number of query heads. */
    readonly heads: number;
    /** Number of key/value heads, of which `heads` is a multiple. Default: `heads`. */
    readonly keyValueHeads?: number | undefined;
    /** Factor on the scores. Default: 1 / sqrt(D), with D the size of a head. */
    readonly scale?: number;
  },
): Tensor {
  takesCachedAttention(qkv, cache, positions, options);
  const { keys, values } = cache;
  const { heads, keyValueHeads = heads, scale } = options;
  checkHeads('cachedAttention', heads, keyValueHeads);
  return emitOne(cachedAttentionOp, [qkv, keys, values, positions], {
    heads,
    keyValueHeads,
    scale: scale ?? 1 / Math.sqrt(keys.shape[2]! / keyValueHeads),
  });
}
