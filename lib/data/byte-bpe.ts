/** Encodes text as GPT-2 does: its word pattern (pretokenize.ts), UTF-8 bytes, then merges in order of rank (BPE). */
import type { IdBuffer } from './id-buffer.js';
import { gptWords } from './pretokenize.js';
import { WordCache } from './word-cache.js';

export interface ByteBpeModel {
  /** byteIds[b] is the id of the token that is the single byte b. */
  readonly byteIds: readonly number[];
  /** Merges in order of rank: ids of the left part, of the right part and of the result, rank after rank. */
  readonly merges: Uint32Array;
  readonly vocabSize: number;
}

/** A function that appends the ids of a text without special tokens in it. */
export function byteBpeEncoder(model: ByteBpeModel): (text: string, out: IdBuffer) => void {
  const words = new WordCache();
  const ranks = new Map<number, number>();
  for (let rank = 0; 3 * rank < model.merges.length; rank++) {
    const pair = model.merges[3 * rank]! * model.vocabSize + model.merges[3 * rank + 1]!;
    if (!ranks.has(pair)) ranks.set(pair, rank);
  }
  return (text, out) => {
    for (const word of gptWords(text)) {
      let ids = words.get(word);
      if (ids === undefined) {
        ids = mergeBytes(Buffer.from(word, 'utf8'), model, ranks);
        words.set(word, ids);
      }
      for (let i = 0; i < ids.length; i++) out.push(ids[i]!);
    }
  };
}

/** A waiting merge is one number, rank * positions + position: the heap's smallest is the lowest rank, leftmost first. */
const positions = 2 ** 26;

/**
 * Sub-word ids of one word. The symbols form a linked list, the possible merges a heap, so that a word of n bytes
 * costs n log n: a file without a space cannot stall the run.
 */
function mergeBytes(bytes: Uint8Array, model: ByteBpeModel, ranks: ReadonlyMap<number, number>): number[] {
  const count = bytes.length;
  const ids = Uint32Array.from(bytes, (byte) => model.byteIds[byte]!);
  const next = Int32Array.from(ids, (_, i) => (i + 1 < count ? i + 1 : -1));
  const previous = Int32Array.from(ids, (_, i) => i - 1);
  const alive = new Uint8Array(count).fill(1);
  const heap: number[] = [];
  const rankAt = (left: number): number | undefined => {
    const right = next[left]!;
    return right < 0 ? undefined : ranks.get(ids[left]! * model.vocabSize + ids[right]!);
  };
  const offer = (left: number): void => {
    const rank = rankAt(left);
    if (rank !== undefined) pushHeap(heap, rank * positions + left);
  };
  for (let i = 0; i + 1 < count; i++) offer(i);
  while (heap.length > 0) {
    const top = popHeap(heap);
    const left = top % positions;
    const rank = (top - left) / positions;
    if (alive[left] === 0 || rankAt(left) !== rank) continue; // one of the two parts has since been merged away
    const right = next[left]!;
    ids[left] = model.merges[3 * rank + 2]!;
    alive[right] = 0;
    next[left] = next[right]!;
    if (next[left]! >= 0) previous[next[left]!] = left;
    if (previous[left]! >= 0) offer(previous[left]!);
    offer(left);
  }
  const result: number[] = [];
  for (let i = 0; i >= 0 && i < count; i = next[i]!) result.push(ids[i]!);
  return result;
}

function pushHeap(heap: number[], value: number): void {
  let child = heap.push(value) - 1;
  while (child > 0) {
    const parent = (child - 1) >> 1;
    if (heap[parent]! <= value) break;
    heap[child] = heap[parent]!;
    child = parent;
  }
  heap[child] = value;
}

function popHeap(heap: number[]): number {
  const top = heap[0]!;
  const last = heap.pop()!;
  if (heap.length === 0) return top;
  let parent = 0;
  for (;;) {
    let child = 2 * parent + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && heap[child + 1]! < heap[child]!) child++;
    if (heap[child]! >= last) break;
    heap[parent] = heap[child]!;
    parent = child;
  }
  heap[parent] = last;
  return top;
}
