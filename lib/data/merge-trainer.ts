/**
 * The core of both tokenizer trainers: byte-pair merges learnt from word counts (Sennrich et al. 2016). Pair counts
 * are kept up to date merge by merge, and a heap gives the most frequent pair, so that the work follows the number of
 * places that change. Ties go to the pair of smaller ids: the result depends on the counts alone.
 */

export interface MergeTraining {
  /** Words as symbol ids, and how often each occurs. The words are changed in place. */
  readonly words: readonly number[][];
  readonly counts: readonly number[];
  /** The tokens that exist before training; symbol ids index this list. It grows by one token a merge. */
  readonly tokens: string[];
  /** Train until there are this many tokens. */
  readonly vocabularySize: number;
  /** A pair that occurs less often than this is not merged. */
  readonly minCount: number;
  /** Marks a token that continues a word (`##`), dropped from the right part when it is joined; '' for none. */
  readonly continuation: string;
  /** Called after each merge with the number of tokens; what it returns is awaited, so that it can let others run. */
  readonly onMerge?: (tokens: number) => Promise<void> | undefined;
}

interface Candidate {
  readonly left: number;
  readonly right: number;
  count: number;
}

/** Learns merges, appends the new tokens to `training.tokens`, and returns the pairs in order. */
export async function trainMerges(training: MergeTraining): Promise<[string, string][]> {
  const { words, counts, tokens, vocabularySize, minCount, continuation } = training;
  const stride = Math.max(vocabularySize, tokens.length);
  const pairCounts = new Map<number, number>();
  const places = new Map<number, number[]>(); // words that hold, or once held, the pair
  const idOf = new Map(tokens.map((token, id) => [token, id]));
  const add = (left: number, right: number, amount: number, word: number): number => {
    const key = left * stride + right;
    pairCounts.set(key, (pairCounts.get(key) ?? 0) + amount);
    if (amount > 0) {
      const list = places.get(key);
      if (list === undefined) places.set(key, [word]);
      else if (list[list.length - 1] !== word) list.push(word);
    }
    return key;
  };
  words.forEach((word, index) => {
    for (let i = 0; i + 1 < word.length; i++) add(word[i]!, word[i + 1]!, counts[index]!, index);
  });
  const heap = new CandidateHeap();
  const candidate = (key: number): Candidate => ({
    left: Math.floor(key / stride),
    right: key % stride,
    count: pairCounts.get(key)!,
  });
  for (const key of pairCounts.keys()) heap.push(candidate(key));

  const merges: [string, string][] = [];
  const visited = new Int32Array(words.length).fill(-1);
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
    for (const index of places.get(key)!) {
      if (visited[index] === round) continue;
      visited[index] = round;
      const word = words[index]!;
      const weight = counts[index]!;
      for (let i = 0; i + 1 < word.length; i++) {
        if (word[i] !== best.left || word[i + 1] !== best.right) continue;
        if (i > 0) {
          add(word[i - 1]!, best.left, -weight, index);
          raised.add(add(word[i - 1]!, merged, weight, index));
        }
        word.splice(i, 2, merged);
        if (i + 1 < word.length) {
          add(best.right, word[i + 1]!, -weight, index);
          raised.add(add(merged, word[i + 1]!, weight, index));
        }
      }
    }
    pairCounts.set(key, 0);
    places.delete(key);
    for (const changed of raised) if (pairCounts.get(changed)! >= minCount) heap.push(candidate(changed));
    const pause = training.onMerge?.(tokens.length);
    if (pause !== undefined) await pause;
  }
  return merges;
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
