/**
 * Byte-pair encoding over characters with everything a tokenizer.json can ask for: prefixes and suffixes of pieces,
 * unknown characters, bytes in their place. GPT-2's own runs on byte-bpe.ts.
 */
import { Heap } from './heap.js';
import type { Model, ModelVocabulary } from './models.js';
import type { Part, Refuse } from './refusal.js';

interface Merge {
  readonly rank: number;
  readonly id: number;
}

/** @throws ApolloError BAD_TOKENIZER when vocabulary and merges do not fit together, or merges must be dropped at random. */
export function bpeModel(part: Part, vocabulary: ModelVocabulary, refuse: Refuse): Model {
  if (part['dropout']) throw refuse('its BPE drops merges at random ("dropout"), so that its ids are not fixed');
  const prefix = (part['continuing_subword_prefix'] ?? '') as string;
  const suffix = (part['end_of_word_suffix'] ?? '') as string;
  const unknown = part['unk_token'] as string | null | undefined;
  const unknownId = typeof unknown === 'string' ? vocabulary.get(unknown) : undefined;
  if (typeof unknown === 'string' && unknownId === undefined)
    throw refuse(`its unknown token ${JSON.stringify(unknown)} is not in the vocabulary. Add it there`);
  const fuses = part['fuse_unk'] === true;
  const wholeFirst = part['ignore_merges'] === true;
  const byteIds = part['byte_fallback'] === true ? byteTokens(vocabulary) : [];
  let size = 0;
  for (const id of vocabulary.values()) size = Math.max(size, id + 1);
  const merges = new Map<number, Merge>(); // by left * size + right
  for (const [rank, [left, right, id]] of mergesOf(part, vocabulary, prefix, refuse).entries())
    merges.set(left * size + right, { rank, id });

  return (piece) => {
    const whole = wholeFirst ? vocabulary.get(piece) : undefined;
    if (whole !== undefined) return [whole];
    const ids: number[] = [];
    let pending = false; // an unknown token that is still to be written, since it may grow
    const characters = [...piece];
    for (const [i, character] of characters.entries()) {
      const isLast = i === characters.length - 1;
      const symbol = (i > 0 ? prefix : '') + character + (isLast ? suffix : '');
      const id = vocabulary.get(symbol);
      if (id !== undefined) {
        if (pending) ids.push(unknownId!);
        pending = false;
        ids.push(id);
        continue;
      }
      const bytes = byteIds.length > 0 ? Array.from(Buffer.from(symbol, 'utf8'), (byte) => byteIds[byte]) : [undefined];
      if (!bytes.includes(undefined)) {
        ids.push(...(bytes as number[])); // before a pending unknown token, as in Python
      } else if (unknownId !== undefined) {
        if (pending && !fuses) ids.push(unknownId);
        pending = true;
      }
    }
    if (pending) ids.push(unknownId!);
    return merged(ids, merges, size);
  };
}

/** The id of each byte's token (`<0x0A>`); undefined for a byte without one. */
function byteTokens(vocabulary: ModelVocabulary): (number | undefined)[] {
  return Array.from({ length: 256 }, (_, byte) =>
    vocabulary.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
  );
}

/**
 * Ids of the left part, of the right part and of what they make, in order of rank.
 * @throws ApolloError BAD_TOKENIZER when there are no merges, or one needs a token that is not in the vocabulary.
 */
export function mergesOf(
  part: Part,
  vocabulary: ModelVocabulary,
  prefix: string,
  refuse: Refuse,
): (readonly [number, number, number])[] {
  const merges = part['merges'];
  if (!Array.isArray(merges)) throw refuse('its BPE model has no "merges". Export the tokenizer again');
  return merges.map((merge: unknown, rank) => {
    const parts = typeof merge === 'string' ? merge.split(' ') : merge;
    if (!Array.isArray(parts) || parts.length !== 2 || parts.some((token) => typeof token !== 'string' || token === ''))
      throw refuse(`merge ${rank + 1} is ${JSON.stringify(merge)}, expected two tokens`);
    const [left, right] = parts as [string, string];
    const joined = left + (right.startsWith(prefix) ? right.slice(prefix.length) : right);
    return [left, right, joined].map((token) => {
      const id = vocabulary.get(token);
      if (id !== undefined) return id;
      throw refuse(
        `merge ${rank + 1} (${JSON.stringify(`${left} ${right}`)}) needs the token ${JSON.stringify(token)}, which is ` +
          'not in the vocabulary. Vocabulary and merges belong to different tokenizers, or one of them was cut off',
      );
    }) as [number, number, number];
  });
}

/** A waiting merge is one number, rank * positions + position: the smallest is the lowest rank, leftmost first. */
const positions = 2 ** 26;

/** Merges until none applies: a linked list of symbols and a heap of what may be merged, n log n for n symbols. */
function merged(symbols: readonly number[], merges: ReadonlyMap<number, Merge>, size: number): readonly number[] {
  if (symbols.length < 2) return symbols;
  const ids = Float64Array.from(symbols);
  const next = Int32Array.from(symbols, (_, i) => (i + 1 < symbols.length ? i + 1 : -1));
  const previous = Int32Array.from(symbols, (_, i) => i - 1);
  const isGone = new Uint8Array(symbols.length);
  const idOfRank = new Map<number, number>();
  const heap = new Heap();
  const mergeAt = (left: number): Merge | undefined => {
    const right = next[left]!;
    return right < 0 ? undefined : merges.get(ids[left]! * size + ids[right]!);
  };
  const offer = (left: number): void => {
    const merge = mergeAt(left);
    if (merge === undefined) return;
    idOfRank.set(merge.rank, merge.id);
    heap.push(merge.rank * positions + left);
  };
  for (let i = 0; i + 1 < symbols.length; i++) offer(i);
  for (let top = heap.pop(); top !== undefined; top = heap.pop()) {
    const left = top % positions;
    const id = idOfRank.get((top - left) / positions)!;
    // A queued merge is stale if its two symbols no longer make this token.
    if (isGone[left] === 1 || mergeAt(left)?.id !== id) continue;
    const right = next[left]!;
    ids[left] = id;
    isGone[right] = 1;
    next[left] = next[right]!;
    if (next[left]! >= 0) previous[next[left]!] = left;
    if (previous[left]! >= 0) offer(previous[left]!);
    offer(left);
  }
  const result: number[] = [];
  for (let i = 0; i >= 0; i = next[i]!) result.push(ids[i]!);
  return result;
}
