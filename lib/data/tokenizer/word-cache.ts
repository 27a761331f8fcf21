/**
 * Remembers the ids of words met before. Text repeats itself (Zipf), so nearly every look-up hits and the sub-word
 * model behind it hardly runs; that is worth about a factor of ten.
 */
const maxEntries = 1 << 17;
const maxLength = 64;

export class WordCache {
  readonly #ids = new Map<string, readonly number[]>();

  get(word: string): readonly number[] | undefined {
    return this.#ids.get(word);
  }

  set(word: string, ids: readonly number[]): void {
    if (word.length > maxLength) return;
    if (this.#ids.size >= maxEntries) this.#ids.clear();
    this.#ids.set(detached(word), ids);
  }
}

/**
 * A copy of the string. V8 keeps a substring of 13 or more characters as a view of its parent; as a key that lives on,
 * it would hold the whole piece of text in memory.
 */
export function detached(word: string): string {
  return word.length < 13 ? word : Buffer.from(word, 'utf16le').toString('utf16le');
}
