/** Counts of distinct words in bounded memory. */
import { detached } from './word-cache.js';

/** Distinct words held at most. Some 4 GB of English stay below it; a corpus of code, names or many languages may not. */
const maxDistinctWords = 4_000_000;

/**
 * How often each word occurs. Exact while `undercount` is 0. When the words become too many, the rarest are forgotten
 * (lossy counting, Manku and Motwani 2002): from then on a count may be too small by at most `undercount`, never too
 * large, and a word that is missing occurred at most `undercount` times.
 */
export class WordCounts extends Map<string, number> {
  #undercount = 0;

  constructor(readonly capacity = maxDistinctWords) {
    super();
  }

  get undercount(): number {
    return this.#undercount;
  }

  /** Forgets the rarest words until a quarter of the room is free: all of one count, or none. */
  shrink(): void {
    if (this.size <= this.capacity) return;
    this.#undercount += forgetRarest(this, 0.75 * this.capacity);
  }
}

/**
 * Adds the counts of one piece to the total; called in the order of the text, so that the total is reproducible. The
 * total is kept below its capacity (see WordCounts).
 */
export function addWordCounts(total: Map<string, number>, words: readonly string[], counts: ArrayLike<number>): void {
  for (let i = 0; i < words.length; i++) {
    const known = total.get(words[i]!);
    if (known !== undefined) total.set(words[i]!, known + counts[i]!);
    else total.set(detached(words[i]!), counts[i]!);
  }
  if (total instanceof WordCounts) total.shrink();
  else if (total.size > maxDistinctWords) forgetRarest(total, 0.75 * maxDistinctWords);
}

/** Deletes all words of the smallest counts until no more than `room` are left; gives the largest count deleted. */
function forgetRarest(total: Map<string, number>, room: number): number {
  const words = new Map<number, number>(); // how many words occur this often
  for (const count of total.values()) words.set(count, (words.get(count) ?? 0) + 1);
  let left = total.size;
  let limit = 0;
  for (const count of [...words.keys()].sort((a, b) => a - b)) {
    if (left <= room) break;
    left -= words.get(count)!;
    limit = count;
  }
  for (const [word, count] of total) if (count <= limit) total.delete(word);
  return limit;
}
