/**
 * From text files to token sources: finds the files, trains or loads the tokenizer, tokenises in worker threads into
 * the cache, and splits off the held-out part. The second start with the same text only opens files; a start that was
 * stopped is resumed. A mixture's sources are prepared one by one, so that other weights cost nothing.
 */
import { writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { ApolloError, check } from '../../errors.js';
import * as is from '../../is.js';
import { resting } from '../../pauses.js';
import { mixedSource, roundRows, rowsOfRound } from '../batches/mixture.js';
import { type Split, splitDocuments } from '../batches/split.js';
import { rangeSource, type TokenSource } from '../batches/token-source.js';
import { type CorpusInput, findSources, type ReadOptions, type SourceFiles } from '../read/inputs.js';
import { type SourceText, textKey, works } from '../read/source-text.js';
import { noEndOfText } from '../tokenizer/end-of-text.js';
import { openingOf } from '../tokenizer/framing.js';
import { createTokenizer, loadTokenizer, type Tokenizer } from '../tokenizer/tokenizer.js';
import type { TokenizerDefinition } from '../tokenizer/tokenizer-files.js';
import { addWordCounts, checkTraining, type TrainableKind, trainTokenizer } from '../tokenizer/train-tokenizer.js';
import { throwIfAborted } from './abort.js';
import { Cache, keyOf } from './cache.js';
import { type CorpusProgress, Meter } from './meter.js';
import type { Counted, WorkSetup } from './tasks.js';
import { hasJournal, openTokenised, type Tokenised, tokenise } from './tokenise.js';
import { mapInOrder } from './worker-pool.js';

export type { CorpusProgress } from './meter.js';

/** Part of every key; raised when the same text and options would give other files. */
const formatVersion = 4;

/** Below this many bytes on disk the start of worker threads costs more than it saves. */
const smallCorpusBytes = 1 << 20;

/** How all inputs are read, unless one says otherwise. */
export interface CorpusOptions extends ReadOptions {
  /**
   * Files, folders and patterns, each as text (`books/*.txt`, or `books:0.3` with a weight) or as an object. With
   * weights, training batches hold each input's share; without, all text is one.
   */
  readonly inputs: readonly (string | CorpusInput)[];
  /**
   * `path`: a file or folder for loadTokenizer. `train`: a tokenizer of `vocabSize` tokens, special tokens included,
   * is trained on the text and kept in the cache.
   */
  readonly tokenizer: { readonly path: string } | { readonly train: TrainableKind; readonly vocabSize: number };
  /** Folder for token files and trained tokenizers, made if it does not exist. Several processes may share it. */
  readonly cacheDir: string;
  /** Fraction of the tokens held out from training; 0 for none. */
  readonly heldOut?: number;
  /** Seed of the choice of held-out text; keep it over runs that are compared. */
  readonly heldOutSeed?: number;
  /**
   * 'auto' ends each document with the tokenizer's end of text (`<|endoftext|>` of GPT-2) or [SEP] (BERT), where it has
   * one, and starts it with the token that the tokenizer puts before every text (`<|begin_of_text|>` of Llama), as prompts
   * start; 'none' joins documents without a mark, as the Apollo release does for GPT-2.
   */
  readonly separator?: 'auto' | 'none';
  /**
   * Takes special tokens that are written in the text (`[MASK]`, `<|endoftext|>`) as text. Without it they become the
   * special tokens, as Hugging Face's libraries do it. The separator is added in both cases.
   */
  readonly specialTokensAsText?: boolean;
  /** Worker threads; 0 tokenises in this thread. The result is the same for any number. */
  readonly workers?: number;
  /** Tokens after which what is done is written down, so that a stopped preparation can be resumed. */
  readonly journalEvery?: number;
  /** Ends the preparation with ABORT_ERR. What was tokenised by then is kept. */
  readonly signal?: AbortSignal;
  /** Called at the start and the end of each phase, and at most ten times per second in between. */
  readonly onProgress?: (progress: CorpusProgress) => void;
  /** Takes what the user should know of the text, one sentence each: what is skipped in folders. */
  readonly onNote?: (note: string) => void;
}

/** What a corpus, or one source of a mixture, holds. */
export interface CorpusStats {
  /** Number of files read. */
  readonly files: number;
  /** Bytes of the files on disk; of packed files, their packed size. */
  readonly sizeBytes: number;
  /** Documents with text; training and held out together. */
  readonly documents: number;
  /** Tokens of the documents, separators included: `trainTokens` + `heldOutTokens`. */
  readonly tokens: number;
  /** Tokens that batches for training are cut from. */
  readonly trainTokens: number;
  /** Tokens that are held out from training. */
  readonly heldOutTokens: number;
  /**
   * What was held out: whole documents, or sections of documents where too few documents would be held out.
   * `'section'` for a mixture that has both.
   */
  readonly heldOutUnit: Split['unit'];
  /** Number of held-out documents or sections. */
  readonly heldOutUnits: number;
  /** Records that gave no document, by reason. */
  readonly skipped: Readonly<Record<string, number>>;
  /** Whether the tokens were found in the cache. */
  readonly cached: boolean;
}

/** One source of a mixture, or all text. */
export interface CorpusSource {
  /** The path of its input; where all inputs are one source, their paths joined by ", ". */
  readonly name: string;
  /** Share of the training batches, from 0 to 1. */
  readonly share: number;
  /** Statistics of this source alone. */
  readonly stats: CorpusStats;
  /** At most `length` tokens of document number `index`, training and held out alike. */
  document(index: number, length: number): Int32Array;
}

/**
 * Text that was prepared for training, from {@link prepareCorpus}: token ids in files, split into training and
 * held-out text.
 */
export interface Corpus {
  /** Tokens to train on, without the held-out ones. */
  readonly train: TokenSource;
  /** Tokens to measure the held-out loss on; empty where `heldOut` was 0. */
  readonly heldOut: TokenSource;
  /** The tokenizer that made the tokens, loaded or trained. */
  readonly tokenizer: Tokenizer;
  /** Statistics of all sources together. */
  readonly stats: CorpusStats;
  /** The sources of a mixture in the order of the inputs; one source where the inputs have no weights. */
  readonly sources: readonly CorpusSource[];
  /** Warnings, one sentence each: for example, that documents are joined without a separator. */
  readonly warnings: readonly string[];
  /** Names the tokens, their split and their shares: the same key means the same batches. */
  readonly key: string;
  /** Closes the token files; the sources cannot be read afterwards. */
  close(): void;
}

const takesPrepareCorpus = is.takes('prepareCorpus', {
  options: is.options({
    inputs: is.list(is.corpusInput),
    tokenizer: is.either(
      is.options({ path: is.path }),
      is.options({ train: is.oneOf('wordpiece', 'bpe'), vocabSize: is.count }),
    ),
    cacheDir: is.path,
    heldOut: is.optional(is.number),
    heldOutSeed: is.optional(is.integer),
    separator: is.optional(is.oneOf('auto', 'none')),
    specialTokensAsText: is.optional(is.boolean),
    workers: is.optional(is.number),
    journalEvery: is.optional(is.count),
    signal: is.optional(is.signal),
    onProgress: is.optional(is.func),
    onNote: is.optional(is.func),
    ...is.readFields,
  }),
});

/**
 * Prepares a corpus.
 *
 * ```ts
 * const corpus = await prepareCorpus({
 *   inputs: ['data/sample'], tokenizer: { train: 'bpe', vocabSize: 8192 }, cacheDir: '.cache',
 * });
 * corpus.train.read(0, 128); // Int32Array of 128 ids
 * ```
 * @throws ApolloError BAD_CORPUS for text that cannot be read (see files.ts, documents.ts and formats/), BAD_TOKENIZER,
 * BAD_ARGUMENT and BAD_CONFIG for options that are out of range or contradict each other, ABORT_ERR when the signal
 * fires. Nothing half-written is left that would be taken for a whole; what was tokenised before ABORT_ERR is kept.
 */
export async function prepareCorpus(options: CorpusOptions): Promise<Corpus> {
  takesPrepareCorpus(options);

  const { inputs, cacheDir, heldOut = 0.02, heldOutSeed = 42, separator = 'auto', signal } = options;
  const { specialTokensAsText = false } = options;
  check(heldOut >= 0 && heldOut <= 0.5, `heldOut must be a fraction from 0 to 0.5; got ${heldOut}.`);
  throwIfAborted(signal);
  const given = 'path' in options.tokenizer ? loadTokenizer(options.tokenizer.path) : undefined;
  if ('train' in options.tokenizer) checkTraining(options.tokenizer.train, options.tokenizer.vocabSize);
  const { format, field, header, quotes, decodeEntities } = options;
  const found = findSources(inputs, { format, field, header, quotes, decodeEntities }, options.onNote);
  const sizes = found.map(({ files }) => files.reduce((sum, file) => sum + file.sizeBytes, 0));
  const sizeBytes = sizes.reduce((sum, size) => sum + size, 0);
  const workers = options.workers ?? (sizeBytes < smallCorpusBytes ? 0 : Math.min(8, availableParallelism()));
  check(
    Number.isInteger(workers) && workers >= 0 && workers <= 256,
    `workers must be a whole number from 0 to 256; got ${workers}.`,
  );

  const cache = await Cache.open(cacheDir);
  const meter = new Meter(sizeBytes, options.onProgress);
  const texts = await withDigests(found, cache, meter, signal);
  const textKeys = texts.map((text) => keyOf(formatVersion, textKey(text)));
  const all: TextInput = { texts, workers, signal, meter };
  const tokenizer =
    given ?? (await commonTokenizer(cache, joined(textKeys), all, options.tokenizer as TrainableChoice));
  const separatorId = separator === 'none' ? undefined : (tokenizer.specials.eot ?? tokenizer.specials.sep);
  const encoder = specialTokensAsText ? withSpecialsAsText(tokenizer) : tokenizer;
  const unmarked = separator !== 'none' && separatorId === undefined;
  const warnings = unmarked ? [`Documents are joined without a separator: ${noEndOfText}`] : [];
  const opening = separator === 'none' ? undefined : openingOf(tokenizer.definition);
  const setup: WorkSetup = { job: 'encode', definition: encoder.definition, opening, separator: separatorId };

  const sources: PreparedSource[] = [];
  const close = (): void => {
    for (const { file } of sources) file.close();
  };
  try {
    for (const [i, text] of texts.entries()) {
      const key = keyOf(textKeys[i], encoder.digest, separatorId ?? null, ...(opening === undefined ? [] : [opening]));
      const work = { text, setup, vocabSize: tokenizer.vocabSize, workers, meter, signal };
      const make = (folder: string) => tokenise(folder, { ...work, journalEvery: options.journalEvery });
      const open = async () =>
        (await cache.isWhole(key, checking(meter, text.name), signal)) ? openTokenised(cache.path(key)) : undefined;
      const prepare = async () => {
        let entry = await open();
        if (!entry && (await cache.isMadeByAnother(key))) {
          meter.start('wait for another process', undefined, text.name);
          while (await cache.isMadeByAnother(key)) await pause(signal);
          entry = await open();
        }
        if (entry) return { ...entry, cached: true };
        await cache.writeResumable(key, make, hasJournal);
        entry = openTokenised(cache.path(key));
        if (entry) return { ...entry, cached: false };
        throw new ApolloError('BAD_CORPUS', `The cache entry ${cache.path(key)} was changed while it was made.`);
      };
      const entry = await cache.alone(key, () => pause(signal), prepare);
      sources.push({ ...entry, ...found[i]!, key, sizeBytes: sizes[i]! });
    }
    return corpusOf(sources, { tokenizer, warnings, heldOut, heldOutSeed, close });
  } catch (error) {
    close();
    throw error;
  }
}

/** The same tokenizer, which takes special tokens in a text as text; its digest is another. */
function withSpecialsAsText({ definition }: Tokenizer): Tokenizer {
  return createTokenizer({ ...definition, split_special_tokens: true });
}

interface PreparedSource extends Tokenised, SourceFiles {
  readonly key: string;
  readonly cached: boolean;
  readonly sizeBytes: number;
}

/** The parts of sources that are all tokenised. */
function corpusOf(
  sources: readonly PreparedSource[],
  {
    heldOut,
    heldOutSeed,
    ...rest
  }: Pick<Corpus, 'tokenizer' | 'warnings' | 'close'> & { heldOut: number; heldOutSeed: number },
): Corpus {
  const splits = sources.map(({ name, documentEnds }) => {
    try {
      return splitDocuments(documentEnds, heldOut, heldOutSeed);
    } catch (error) {
      if (sources.length === 1 || !(error instanceof ApolloError)) throw error;
      throw new ApolloError(error.code, `${name}: ${error.message}`, { cause: error });
    }
  });
  const rows = sources.length === 1 ? [roundRows] : rowsOfRound(sources.map(({ weight }) => weight!));
  const keys = sources.map(({ key }) => key);
  const stats = sources.map(({ documentEnds, file, files, skipped, cached, sizeBytes }, i): CorpusStats => {
    const { train, heldOut, unit, heldOutUnits } = splits[i]!;
    return {
      files: files.length,
      sizeBytes,
      documents: documentEnds.length,
      tokens: file.tokenCount,
      trainTokens: train.tokenCount,
      heldOutTokens: heldOut.tokenCount,
      heldOutUnit: unit,
      heldOutUnits,
      skipped,
      cached,
    };
  });
  const mixed = (part: 'train' | 'heldOut'): TokenSource => {
    const ranges = sources.map(({ file }, i) => rangeSource(file, splits[i]![part]));
    if (sources.length === 1) return ranges[0]!;
    return mixedSource(sources.map(({ name, weight }, i) => ({ name, weight: weight!, source: ranges[i]! })));
  };
  return {
    ...rest,
    train: mixed('train'),
    heldOut: mixed('heldOut'),
    key: keyOf(sources.length === 1 ? keys[0] : ['mixture', keys, rows], heldOut, heldOutSeed),
    stats: stats.reduce(added),
    sources: sources.map(({ name, file, documentEnds }, i) => ({
      name,
      share: rows[i]! / roundRows,
      stats: stats[i]!,
      document(index, length) {
        check(
          Number.isInteger(index) && index >= 0 && index < documentEnds.length,
          `There are documents 0 to ${documentEnds.length - 1} in "${name}"; got ${index}.`,
        );
        const start = index === 0 ? 0 : documentEnds[index - 1]!;
        const ids = new Int32Array(Math.min(length, documentEnds[index]! - start));
        file.readInto(start, ids.length, ids, 0);
        return ids;
      },
    })),
  };
}

function added(a: CorpusStats, b: CorpusStats): CorpusStats {
  const skipped: Record<string, number> = { ...a.skipped };
  for (const [reason, count] of Object.entries(b.skipped)) skipped[reason] = (skipped[reason] ?? 0) + count;
  return {
    files: a.files + b.files,
    sizeBytes: a.sizeBytes + b.sizeBytes,
    documents: a.documents + b.documents,
    tokens: a.tokens + b.tokens,
    trainTokens: a.trainTokens + b.trainTokens,
    heldOutTokens: a.heldOutTokens + b.heldOutTokens,
    heldOutUnit: a.heldOutUnit === b.heldOutUnit ? a.heldOutUnit : 'section',
    heldOutUnits: a.heldOutUnits + b.heldOutUnits,
    skipped,
    cached: a.cached && b.cached,
  };
}

const joined = (keys: readonly string[]): string => (keys.length === 1 ? keys[0]! : keyOf('mixture', keys));

/** Entries of the cache from this size on take long enough to check for a phase in the progress. */
const reportedBytes = 256 << 20;

function checking(meter: Meter, source: string | undefined): (count: number, total: number) => void {
  let isReported = false;
  return (count, total) => {
    if (total < reportedBytes) return;
    if (!isReported) meter.start('check', total, source);
    isReported = true;
    meter.addBytes(count);
  };
}

/** Milliseconds between two looks at what another process does. */
const pauseMs = 200;

async function pause(signal: AbortSignal | undefined): Promise<void> {
  throwIfAborted(signal);
  await setTimeout(pauseMs);
}

async function withDigests(
  found: readonly SourceFiles[],
  cache: Cache,
  meter: Meter,
  signal: AbortSignal | undefined,
): Promise<SourceText[]> {
  const files = found.flatMap((source) => source.files);
  const digests = await cache.digests(files, (count) => meter.addBytes(count), signal);
  let first = 0;
  return found.map(({ name, files, options }) => {
    first += files.length;
    return { name, files, options, digests: digests.slice(first - files.length, first) };
  });
}

type TrainableChoice = { readonly train: TrainableKind; readonly vocabSize: number };

interface TextInput {
  readonly texts: readonly SourceText[];
  readonly workers: number;
  readonly signal: AbortSignal | undefined;
  readonly meter: Meter;
}

/** A tokenizer trained on the text, or read from the cache when this text has trained it before. */
function commonTokenizer(
  cache: Cache,
  contentKey: string,
  text: TextInput,
  choice: TrainableChoice,
): Promise<Tokenizer> {
  const key = `tokenizer-${keyOf(contentKey, choice.train, choice.vocabSize)}`;
  return cache.alone(
    key,
    () => pause(text.signal),
    () => trainedTokenizer(cache, key, text, choice),
  );
}

async function trainedTokenizer(
  cache: Cache,
  key: string,
  text: TextInput,
  { train: kind, vocabSize }: TrainableChoice,
): Promise<Tokenizer> {
  const file = join(cache.path(key), 'tokenizer.json');
  const { meter, signal } = text;
  if (await cache.isWhole(key, undefined, signal)) return loadTokenizer(file);
  meter.start('count words');
  const counts = new Map<string, number>();
  for await (const result of mapInOrder({ job: 'count', kind }, allWorks(text), text.workers)) {
    const { words, counts: added } = result as Counted;
    addWordCounts(counts, words, added);
  }
  meter.start('train tokenizer', vocabSize);
  const onMerge = resting(
    (tokens) => meter.set(tokens),
    () => throwIfAborted(signal),
  );
  const definition: TokenizerDefinition = await trainTokenizer(kind, counts, { vocabSize, onMerge });
  const write = (folder: string) =>
    writeFile(join(folder, 'tokenizer.json'), JSON.stringify(definition), { flush: true });
  await cache.write(key, write);
  return createTokenizer(definition, file);
}

async function* allWorks({ texts, meter, signal }: TextInput) {
  for (const text of texts) yield* works(text, { meter, signal });
}
