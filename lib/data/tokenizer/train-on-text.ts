/**
 * Trains a tokenizer on a stream of text of any size: words are counted in worker threads, in memory that does not grow
 * with the text, and the merges are learnt from the counts. The result is the same for any number of workers.
 */
import { ApolloError, check } from '../../errors.js';
import * as is from '../../is.js';
import { resting } from '../../pauses.js';
import type { Counted, Work } from '../corpus/tasks.js';
import { mapInOrder } from '../corpus/worker-pool.js';
import type { TokenizerDefinition } from './tokenizer-files.js';
import { checkTraining, type TrainableKind, trainTokenizer } from './train-tokenizer.js';
import { addWordCounts, WordCounts } from './word-counts.js';

/** How a tokenizer is trained, see {@link trainTokenizerOnText}. */
export interface TextTraining {
  /** `wordpiece`: BERT's uncased WordPiece; `bpe`: GPT-2's byte-level BPE. */
  readonly kind: TrainableKind;
  /** Tokens wanted, special tokens included. */
  readonly vocabSize: number;
  /** Pairs seen less often are not merged. */
  readonly minCount?: number;
  /** Worker threads that count; 0 counts in this thread. */
  readonly workers?: number;
  /** Distinct words held at most; see WordCounts for what happens beyond. */
  readonly maxDistinctWords?: number;
  /** Ends the training with ABORT_ERR. */
  readonly signal?: AbortSignal;
  /** Called after each piece of text that was counted, and while the merges are learned. */
  readonly onProgress?: (progress: TextTrainingProgress) => void;
}

/** How far the training of a tokenizer is. */
export interface TextTrainingProgress {
  /** Words of the text are counted first; then the vocabulary is built from the counts. */
  readonly phase: 'count words' | 'train tokenizer';
  /** UTF-16 units of text counted so far; in 'train tokenizer', tokens of the vocabulary. */
  readonly done: number;
  /** Distinct words that are held; the rarest are forgotten beyond `maxDistinctWords`. */
  readonly distinctWords: number;
}

/** What {@link trainTokenizerOnText} has made. */
export interface TrainedTokenizer {
  /** Content of a tokenizer.json, for createTokenizer and saveTokenizer. */
  readonly definition: TokenizerDefinition;
  /** Length of the text in UTF-16 units. */
  readonly textLength: number;
  /** Counted words of the text, each as often as it occurs. */
  readonly words: number;
  /** Distinct words kept; the merges are learned from these. */
  readonly distinctWords: number;
  /** 0: every count was exact. Otherwise each may be too small by up to this, and rarer words may be missing. */
  readonly undercount: number;
}

/** UTF-16 units of text that a worker counts at once: large enough that most of its words repeat. */
const workLength = 1 << 20;

const takesTrainTokenizerOnText = is.takes('trainTokenizerOnText', {
  texts: is.iterable,
  options: is.options({
    kind: is.string,
    vocabSize: is.number,
    minCount: is.optional(is.number),
    workers: is.optional(is.number),
    maxDistinctWords: is.optional(is.number),
    signal: is.optional(is.signal),
    onProgress: is.optional(is.func),
  }),
});

/**
 * Trains on texts; a word never spans two of them, so cut long ones at a blank or line end.
 *
 * ```ts
 * const { definition } = await trainTokenizerOnText(lines, { kind: 'bpe', vocabSize: 32_000, workers: 4 });
 * await saveTokenizer('my-tokenizer', createTokenizer(definition));
 * ```
 * @throws ApolloError BAD_ARGUMENT for options out of range, BAD_CORPUS when there is no word, ABORT_ERR when the
 * signal fires; what the source of texts throws.
 */
export async function trainTokenizerOnText(
  texts: Iterable<string> | AsyncIterable<string>,
  options: TextTraining,
): Promise<TrainedTokenizer> {
  takesTrainTokenizerOnText(texts, options);
  const { kind, vocabSize, minCount = 2, workers = 0, maxDistinctWords, signal, onProgress } = options;
  checkTraining(kind, vocabSize);
  check(
    Number.isInteger(workers) && workers >= 0 && workers <= 256,
    `workers must be a whole number from 0 to 256; got ${workers}.`,
  );
  check(
    maxDistinctWords === undefined || (Number.isInteger(maxDistinctWords) && maxDistinctWords >= 1000),
    `maxDistinctWords must be a whole number of at least 1000; got ${maxDistinctWords}.`,
  );
  const counts = new WordCounts(maxDistinctWords);
  let textLength = 0;
  let words = 0;
  const waiting: number[] = []; // lengths of the works whose counts have not come yet, in order
  const source = inWorks(texts, (length) => {
    throwIfAborted(signal);
    waiting.push(length);
  });
  for await (const result of mapInOrder({ job: 'count', kind }, source, workers)) {
    throwIfAborted(signal);
    const counted = result as Counted;
    addWordCounts(counts, counted.words, counted.counts);
    for (const count of counted.counts) words += count;
    textLength += waiting.shift()!;
    onProgress?.({ phase: 'count words', done: textLength, distinctWords: counts.size });
  }
  const distinctWords = counts.size;
  const onMerge = resting(
    (done) => onProgress?.({ phase: 'train tokenizer', done, distinctWords }),
    () => throwIfAborted(signal),
  );
  const definition = await trainTokenizer(kind, counts, { vocabSize, minCount, onMerge });
  return { definition, textLength, words, distinctWords, undercount: counts.undercount };
}

async function* inWorks(
  texts: Iterable<string> | AsyncIterable<string>,
  onWork: (length: number) => void,
): AsyncGenerator<Work> {
  let batch: string[] = [];
  let length = 0;
  const take = (): Work => {
    const work = { texts: batch, isLast: batch.map(() => true), continues: false };
    onWork(length);
    batch = [];
    length = 0;
    return work;
  };
  for await (const text of texts) {
    is.argument('trainTokenizerOnText: an element of texts', text, is.string);
    batch.push(text);
    length += text.length;
    if (length >= workLength) yield take();
  }
  if (batch.length > 0) yield take();
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new ApolloError('ABORT_ERR', 'Training the tokenizer was cancelled.', { cause: signal.reason });
  }
}
