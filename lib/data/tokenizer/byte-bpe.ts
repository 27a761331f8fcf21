/** Encodes text as GPT-2 and Llama 3 do: words (word-scanners.ts), UTF-8 bytes, then merges in order of rank (BPE). */
import { Heap } from './heap.js';
import type { IdBuffer } from './id-buffer.js';
import { byteLevelText } from './normalizers.js';
import type { OffsetSink, TextEncoding } from './offsets.js';
import { WordCache } from './word-cache.js';
import type { WordEnd } from './word-scanners.js';

export interface ByteBpeModel {
  /** byteIds[b] is the id of the token that is the single byte b. */
  readonly byteIds: readonly number[];
  /** Merges in order of rank: ids of the left part, of the right part and of the result, rank after rank. */
  readonly merges: Uint32Array;
  readonly vocabSize: number;
  /** Ids of the tokens, which are spelled as `byteLevelText` spells them. */
  readonly vocabulary: ReadonlyMap<string, number>;
  /** A word that is a token is that token, regardless of the merges (`ignore_merges`). */
  readonly takesWholeWords: boolean;
}

/** Encodes texts without special tokens in them. */
export function byteBpeEncoder(model: ByteBpeModel, wordEnd: WordEnd): TextEncoding {
  const words = new WordCache();
  const ranks = new Map<number, number>();
  for (let rank = 0; 3 * rank < model.merges.length; rank++) {
    const pair = model.merges[3 * rank]! * model.vocabSize + model.merges[3 * rank + 1]!;
    ranks.set(pair, rank); // of a pair that occurs twice the later rank counts, as in Python
  }
  const wordIds = (word: string): readonly number[] => {
    let ids = words.get(word);
    if (ids === undefined) {
      const whole = model.takesWholeWords ? model.vocabulary.get(byteLevelText(word)) : undefined;
      ids = whole === undefined ? mergeBytes(Buffer.from(word, 'utf8'), model, ranks) : [whole];
      words.set(word, ids);
    }
    return ids;
  };
  let lengths: Map<number, number> | undefined;
  return {
    encode(text: string, out: IdBuffer): void {
      for (let start = 0; start < text.length; ) {
        const end = wordEnd(text, start);
        const ids = wordIds(text.slice(start, end));
        start = end;
        for (let i = 0; i < ids.length; i++) out.push(ids[i]!);
      }
    },
    place(text: string, add: OffsetSink): void {
      lengths ??= byteLengths(model);
      for (let start = 0; start < text.length; ) {
        const end = wordEnd(text, start);
        const word = text.slice(start, end);
        const { starts, ends } = characterOfByte(word);
        let byte = 0;
        for (const id of wordIds(word)) {
          const next = byte + lengths.get(id)!;
          add(id, start + starts[byte]!, start + ends[next - 1]!);
          byte = next;
        }
        start = end;
      }
    },
  };
}

/** How many bytes each token spells: one for each of its characters. */
function byteLengths({ vocabulary }: ByteBpeModel): Map<number, number> {
  return new Map(Array.from(vocabulary, ([token, id]) => [id, token.length]));
}

/** For each byte of the word in UTF-8: the start and the end of its character in UTF-16 units. */
function characterOfByte(word: string): { starts: number[]; ends: number[] } {
  const starts: number[] = [];
  const ends: number[] = [];
  let start = 0;
  for (const character of word) {
    const code = character.codePointAt(0)!;
    const bytes = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (let i = 0; i < bytes; i++) {
      starts.push(start);
      ends.push(start + character.length);
    }
    start += character.length;
  }
  return { starts, ends };
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
  const heap = new Heap();
  const rankAt = (left: number): number | undefined => {
    const right = next[left]!;
    return right < 0 ? undefined : ranks.get(ids[left]! * model.vocabSize + ids[right]!);
  };
  const offer = (left: number): void => {
    const rank = rankAt(left);
    if (rank !== undefined) heap.push(rank * positions + left);
  };
  for (let i = 0; i + 1 < count; i++) offer(i);
  for (let top = heap.pop(); top !== undefined; top = heap.pop()) {
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
