/**
 * The core of both tokenizer trainers: byte-pair merges learnt from word counts (Sennrich et al. 2016). Pair counts
 * are kept up to date merge by merge, and a heap gives the most frequent pair, so that the work follows the number of
 * places that change. Ties go to the pair of smaller ids: the result depends on the counts alone.
 */

export interface MergeTraining {
  /** Words as symbol ids, read once, and how often each occurs. */
  readonly words: Iterable<ArrayLike<number>>;
  readonly counts: ArrayLike<number>;
  /** The tokens that exist before training; symbol ids index this list. It grows by one token per merge. */
  readonly tokens: string[];
  /** Train until there are this many tokens. */
  readonly vocabularySize: number;
  /** A pair that occurs less often than this is not merged. */
  readonly minCount: number;
  /** Marks a token that continues a word (`##`), dropped from the right part when it is joined; '' for none. */
  readonly continuation: string;
  /**
   * Called after each merge, and now and then before the first, with the number of tokens; what it returns is awaited, so
   * that it can let others run.
   */
  readonly onMerge?: (tokens: number) => Promise<void> | undefined;
}

interface Candidate {
  readonly left: number;
  readonly right: number;
  count: number;
}

/** Learns merges, appends the new tokens to `training.tokens`, and returns the pairs in order. */
export async function trainMerges(training: MergeTraining): Promise<[string, string][]> {
  const { counts, tokens, vocabularySize, minCount, continuation } = training;
  const stride = Math.max(vocabularySize, tokens.length);
  const pause = (): Promise<void> | undefined => training.onMerge?.(tokens.length);
  const { symbols, starts, lengths } = await flattened(training.words, pause);
  const { pairCounts, firstPlaces } = await countPairs(symbols, starts, counts, stride, pause);
  const laterPlaces = new Map<number, number[]>(); // words that hold, or once held, a pair that a merge has made
  const idOf = new Map(tokens.map((token, id) => [token, id]));
  const add = (left: number, right: number, amount: number, word: number): number => {
    const key = left * stride + right;
    pairCounts.set(key, (pairCounts.get(key) ?? 0) + amount);
    if (amount > 0) {
      const list = laterPlaces.get(key);
      if (list === undefined) laterPlaces.set(key, [word]);
      else if (list[list.length - 1] !== word) list.push(word);
    }
    return key;
  };
  const heap = new CandidateHeap();
  const candidate = (key: number): Candidate => ({
    left: Math.floor(key / stride),
    right: key % stride,
    count: pairCounts.get(key)!,
  });
  for (const [key, count] of pairCounts) if (count >= minCount) heap.push(candidate(key));

  const merges: [string, string][] = [];
  const visited = new Int32Array(lengths.length).fill(-1);
  while (tokens.length < vocabularySize) {
    const best = heap.pop();
    if (best === undefined) break;
    const key = best.left * stride + best.right;
    const count = pairCounts.get(key)!;
    if (best.count !== count) {
      // The count has changed since: back into the heap under the present one.
      if (count >= minCount) heap.push({ ...best, count });
      continue;
    }
    if (count < minCount || count < 1) break;
    const [left, right] = [tokens[best.left]!, tokens[best.right]!];
    const joined =
      left + (continuation !== '' && right.startsWith(continuation) ? right.slice(continuation.length) : right);
    let merged = idOf.get(joined); // another pair may have made the same token before
    if (merged === undefined) {
      merged = tokens.push(joined) - 1;
      idOf.set(joined, merged);
    }
    merges.push([left, right]);
    const raised = new Set<number>();
    const round = merges.length;
    for (const places of [firstPlaces(key), laterPlaces.get(key) ?? []]) {
      for (let p = 0; p < places.length; p++) {
        const index = places[p]!;
        if (visited[index] === round) continue;
        visited[index] = round;
        const start = starts[index]!;
        const end = start + lengths[index]!;
        const weight = counts[index]!;
        let write = start; // merged symbols are compacted in one pass over the word
        for (let read = start; read < end; ) {
          if (symbols[read] !== best.left || read + 1 >= end || symbols[read + 1] !== best.right) {
            symbols[write++] = symbols[read++]!;
            continue;
          }
          if (write > start) {
            add(symbols[write - 1]!, best.left, -weight, index);
            raised.add(add(symbols[write - 1]!, merged, weight, index));
          }
          symbols[write++] = merged;
          read += 2;
          if (read < end) {
            add(best.right, symbols[read]!, -weight, index);
            raised.add(add(merged, symbols[read]!, weight, index));
          }
        }
        lengths[index] = write - start;
      }
    }
    pairCounts.set(key, 0);
    laterPlaces.delete(key);
    for (const changed of raised) if (pairCounts.get(changed)! >= minCount) heap.push(candidate(changed));
    const rest = pause();
    if (rest !== undefined) await rest;
  }
  return merges;
}

type Pause = () => Promise<void> | undefined;

/** Words between two offers of a pause. */
const pauseWords = 1 << 10;

interface FlatWords {
  /** The symbols of all words, word after word: those of word i from starts[i] on, lengths[i] of them. */
  readonly symbols: Int32Array;
  readonly starts: Float64Array;
  readonly lengths: Int32Array;
}

/** Four bytes per symbol: millions of separate arrays would take ten times as much. */
async function flattened(words: Iterable<ArrayLike<number>>, pause: Pause): Promise<FlatWords> {
  let symbols = new Int32Array(1 << 16);
  let used = 0;
  const starts: number[] = [];
  for (const word of words) {
    starts.push(used);
    if (used + word.length > symbols.length) {
      const larger = new Int32Array(Math.max(2 * symbols.length, used + word.length));
      larger.set(symbols);
      symbols = larger;
    }
    symbols.set(word, used);
    used += word.length;
    if (starts.length % pauseWords === 0) await pause();
  }
  starts.push(used);
  const lengths = Int32Array.from({ length: starts.length - 1 }, (_, i) => starts[i + 1]! - starts[i]!);
  return { symbols: symbols.subarray(0, used), starts: Float64Array.from(starts), lengths };
}

/** How often each pair of neighbours occurs before any merge, and the words that hold it, ascending. */
async function countPairs(
  symbols: Int32Array,
  starts: Float64Array,
  counts: ArrayLike<number>,
  stride: number,
  pause: Pause,
) {
  const pairCounts = new Map<number, number>();
  const slots = new Map<number, number>(); // a number for each pair, in the order of their first places
  const perSlot: number[] = [];
  const slotOf = (i: number): number => slots.get(symbols[i]! * stride + symbols[i + 1]!)!;
  const last = starts.length - 1;
  for (let word = 0; word < last; word++) {
    if (word % pauseWords === 0) await pause();
    for (let i = starts[word]!; i + 1 < starts[word + 1]!; i++) {
      const key = symbols[i]! * stride + symbols[i + 1]!;
      pairCounts.set(key, (pairCounts.get(key) ?? 0) + counts[word]!);
      let slot = slots.get(key);
      if (slot === undefined) {
        slot = slots.size;
        slots.set(key, slot);
        perSlot.push(0);
      }
      perSlot[slot]!++;
    }
  }
  const ends = new Float64Array(perSlot.length);
  for (let slot = 0, sum = 0; slot < perSlot.length; slot++) {
    ends[slot] = sum; // where the next place goes; at last, where the pair's places end
    sum += perSlot[slot]!;
  }
  const places = new Int32Array(symbols.length);
  for (let word = 0; word < last; word++) {
    if (word % pauseWords === 0) await pause();
    for (let i = starts[word]!; i + 1 < starts[word + 1]!; i++) places[ends[slotOf(i)]!++] = word;
  }
  const none = new Int32Array(0);
  const firstPlaces = (key: number): Int32Array => {
    const slot = slots.get(key);
    return slot === undefined ? none : places.subarray(ends[slot]! - perSlot[slot]!, ends[slot]!);
  };
  return { pairCounts, firstPlaces };
}

/** A binary heap: the largest count first, then the smaller left id, then the smaller right id. */
class CandidateHeap {
  readonly #items: Candidate[] = [];

  push(item: Candidate): void {
    const items = this.#items;
    let child = items.push(item) - 1;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (!before(item, items[parent]!)) break;
      items[child] = items[parent]!;
      child = parent;
    }
    items[child] = item;
  }

  pop(): Candidate | undefined {
    const items = this.#items;
    const top = items[0];
    const last = items.pop();
    if (items.length === 0 || last === undefined) return top;
    let parent = 0;
    for (;;) {
      let child = 2 * parent + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && before(items[child + 1]!, items[child]!)) child++;
      if (!before(items[child]!, last)) break;
      items[parent] = items[child]!;
      parent = child;
    }
    items[parent] = last;
    return top;
  }
}

function before(a: Candidate, b: Candidate): boolean {
  if (a.count !== b.count) return a.count > b.count;
  return a.left !== b.left ? a.left < b.left : a.right < b.right;
}
