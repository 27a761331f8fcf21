/**
 * Trains a tokenizer from word counts: BERT's uncased WordPiece, or GPT-2's byte-level BPE. What comes out is the
 * content of a tokenizer.json that Python's `tokenizers` loads with the same ids.
 */
import { ApolloError, check } from '../../errors.js';
import { type MergeTraining, trainMerges } from './merge-trainer.js';
import { bertSplitter, blankSeparated, byteCharacters, uncased } from './pretokenize.js';
import { bertDefinition, endOfText, gptDefinition, type TokenizerDefinition } from './tokenizer-files.js';
import { gptWordEnd, wordsOf } from './word-scanners.js';

export { addWordCounts } from './word-counts.js';

/** Kinds of tokenizer that can be trained. */
export type TrainableKind = 'wordpiece' | 'bpe';

export interface TokenizerTraining {
  /** Tokens wanted, special tokens included. A small text may end with fewer. */
  readonly vocabSize: number;
  /** Pairs seen less often are not merged. */
  readonly minCount?: number;
  /** Called during training; see MergeTraining. */
  readonly onMerge?: (tokens: number) => Promise<void> | undefined;
}

const uncasedWords = bertSplitter(uncased);

const bertSpecials = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];

/** Distinct characters kept in a WordPiece alphabet, the most frequent ones; words with others become [UNK]. */
const maxAlphabet = 1000;

/**
 * A longer word (base64, a genome, minified code) is cut into words of this many UTF-16 units for the training: what is
 * learnt from it is the same but at the cuts, and the time follows its length.
 */
export const longestTrainedWord = 4096;

/** The words of a piece of text, as the trainer of `kind` sees them, and how often each occurs. */
export function countWords(kind: TrainableKind, text: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const word of kind === 'bpe' ? wordsOf(text, gptWordEnd) : blankSeparated(text)) {
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  if (kind === 'bpe') return counts;
  const words = new Map<string, number>();
  for (const [chunk, count] of counts) {
    for (const word of uncasedWords.words(chunk)) words.set(word, (words.get(word) ?? 0) + count);
  }
  return words;
}

/**
 * Trains on word counts.
 * @throws ApolloError BAD_ARGUMENT when vocabSize cannot hold the special tokens and the bytes or characters;
 * BAD_CORPUS when there is no word.
 */
export async function trainTokenizer(
  kind: TrainableKind,
  counts: ReadonlyMap<string, number>,
  { vocabSize, minCount = 2, onMerge }: TokenizerTraining,
): Promise<TokenizerDefinition> {
  checkTraining(kind, vocabSize);
  if (counts.size === 0)
    throw new ApolloError('BAD_CORPUS', 'No word to train a tokenizer on: the text is empty or blank.');
  // Sorted, so that nothing depends on the order in which the words were met.
  const pause = (): Promise<void> | undefined => onMerge?.(0);
  const sorted = await sortedWords(withCutWords(counts), pause);
  const limits = { vocabularySize: vocabSize, minCount, ...(onMerge && { onMerge }) };
  return kind === 'bpe' ? trainBpe(sorted, limits) : trainWordPiece(sorted, limits);
}

/** The counts with each long word cut; those themselves where no word is long. */
function withCutWords(counts: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  const long = [...counts.keys()].filter((word) => word.length > longestTrainedWord);
  if (long.length === 0) return counts;
  const result = new Map(counts);
  for (const word of long) {
    const count = counts.get(word)!;
    result.delete(word);
    for (let start = 0; start < word.length; ) {
      let end = Math.min(word.length, start + longestTrainedWord);
      // A surrogate pair stays whole.
      if (end < word.length && (word.charCodeAt(end) & 0xfc00) === 0xdc00) end--;
      const piece = word.slice(start, end);
      result.set(piece, (result.get(piece) ?? 0) + count);
      start = end;
    }
  }
  return result;
}

interface SortedWords {
  readonly words: readonly string[];
  readonly counts: Float64Array;
}

/** Words between two offers of a pause. */
const pauseWords = 1 << 12;

/** Words in the order of their UTF-16 units, and how often each occurs. Sorted in parts, so that others can run between. */
async function sortedWords(
  counts: ReadonlyMap<string, number>,
  pause: () => Promise<void> | undefined,
): Promise<SortedWords> {
  const byStart = new Map<string, string[]>();
  let met = 0;
  for (const word of counts.keys()) {
    const start = word.slice(0, 3);
    const list = byStart.get(start);
    if (list === undefined) byStart.set(start, [word]);
    else list.push(word);
    if (++met % pauseWords === 0) await pause();
  }
  const words: string[] = [];
  for (const start of [...byStart.keys()].sort()) {
    for (const word of byStart.get(start)!.sort()) words.push(word);
    await pause();
  }
  const inOrder = new Float64Array(words.length);
  for (const [i, word] of words.entries()) {
    inOrder[i] = counts.get(word)!;
    if (i % pauseWords === 0) await pause();
  }
  return { words, counts: inOrder };
}

/** @throws ApolloError BAD_ARGUMENT when vocabSize is not a whole number large enough for `kind`. */
export function checkTraining(kind: TrainableKind, vocabSize: number): void {
  const least = kind === 'bpe' ? 257 : 64;
  check(
    Number.isInteger(vocabSize) && vocabSize >= least && vocabSize <= 1_000_000,
    `The vocabSize of a ${kind} tokenizer must be a whole number from ${least} to 1000000; got ${vocabSize}.`,
  );
}

type Limits = Pick<MergeTraining, 'vocabularySize' | 'minCount' | 'onMerge'>;

async function trainBpe({ words, counts }: SortedWords, limits: Limits): Promise<TokenizerDefinition> {
  // Byte tokens in the order of their characters, as other trainers number them.
  const tokens = [endOfText, ...[...byteCharacters].sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!)];
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const byteIds = byteCharacters.map((character) => ids.get(character)!);
  const symbols = function* () {
    for (const word of words) yield Array.from(Buffer.from(word, 'utf8'), (byte) => byteIds[byte]!);
  };
  const merges = await trainMerges({ words: symbols(), counts, tokens, ...limits, continuation: '' });
  return gptDefinition(vocabularyOf(tokens), merges);
}

async function trainWordPiece({ words, counts }: SortedWords, limits: Limits): Promise<TokenizerDefinition> {
  const letters = new Map<string, number>();
  for (const [i, word] of words.entries()) {
    if (i % pauseWords === 0) await limits.onMerge?.(0);
    for (const letter of word) letters.set(letter, (letters.get(letter) ?? 0) + counts[i]!);
  }
  // Each letter may need two tokens, alone and after ##.
  const room = Math.min(maxAlphabet, Math.floor((limits.vocabularySize - bertSpecials.length) / 2));
  const alphabet = new Set(
    [...letters]
      .sort(([a, countA], [b, countB]) => countB - countA || (a < b ? -1 : 1))
      .slice(0, room)
      .map(([letter]) => letter),
  );
  const usable: number[] = [];
  const continuing = new Set<string>();
  for (const [i, word] of words.entries()) {
    if (i % pauseWords === 0) await limits.onMerge?.(0);
    const [first, ...rest] = word;
    if (!alphabet.has(first!) || !rest.every((letter) => alphabet.has(letter))) continue;
    usable.push(i);
    for (const letter of rest) continuing.add(letter);
  }
  const tokens = [...bertSpecials, ...[...alphabet].sort(), ...[...continuing].sort().map((letter) => `##${letter}`)];
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const symbols = function* () {
    for (const i of usable) yield Array.from(words[i]!, (letter, at) => ids.get(at === 0 ? letter : `##${letter}`)!);
  };
  await trainMerges({
    words: symbols(),
    counts: Float64Array.from(usable, (i) => counts[i]!),
    tokens,
    ...limits,
    continuation: '##',
  });
  return bertDefinition(vocabularyOf(tokens));
}

function vocabularyOf(tokens: readonly string[]): Record<string, number> {
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}
