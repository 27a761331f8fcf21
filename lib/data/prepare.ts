/**
 * From text files to token sources: finds the files, trains or loads the tokenizer, tokenises in worker threads into
 * the cache, and splits off the held-out part. The second start with the same text only opens files.
 */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { ApolloError, check } from '../errors.js';
import { Cache, keyOf } from './cache.js';
import { readDocuments, throwIfAborted } from './documents.js';
import { type CorpusFile, findFiles } from './files.js';
import { type Split, splitDocuments } from './split.js';
import type { Counted, Encoded, Work, WorkSetup } from './tasks.js';
import { TokenFile, TokenFileWriter } from './token-file.js';
import { rangeSource, type TokenSource } from './token-source.js';
import { createTokenizer, loadTokenizer, type Tokenizer } from './tokenizer.js';
import type { TokenizerDefinition } from './tokenizer-files.js';
import { addWordCounts, checkTraining, type TrainableKind, trainTokenizer } from './train-tokenizer.js';
import { mapInOrder } from './worker-pool.js';

/** Part of every key; raised when the same text and options would give other files. */
const formatVersion = 1;

/** UTF-16 units of text sent to a worker at once. */
const workLength = 1 << 17;

/** Below this many bytes on disk the start of worker threads costs more than it saves. */
const smallCorpusBytes = 1 << 20;

export interface CorpusProgress {
  readonly phase: 'read' | 'count words' | 'train tokenizer' | 'tokenise';
  /** Bytes of the files on disk; in 'train tokenizer', tokens of the vocabulary. */
  readonly done: number;
  readonly total: number;
  readonly documents: number;
  readonly tokens: number;
  readonly tokensPerSecond: number;
}

export interface CorpusOptions {
  /** Files, folders and patterns, .txt or .gz. */
  readonly inputs: readonly string[];
  readonly tokenizer: { readonly path: string } | { readonly train: TrainableKind; readonly vocabSize: number };
  readonly cacheDir: string;
  /** Fraction of the tokens held out from training; 0 for none. */
  readonly heldOut?: number;
  /** Seed of the choice of held-out text; keep it over runs that are compared. */
  readonly heldOutSeed?: number;
  /**
   * 'auto' ends each document with [SEP] (BERT) or `<|endoftext|>` (GPT-2), where the tokenizer has it; 'none' joins
   * documents without a mark, as the Apollo release does for GPT-2.
   */
  readonly separator?: 'auto' | 'none';
  /** Worker threads; 0 tokenises in this thread. The result is the same for any number. */
  readonly workers?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CorpusProgress) => void;
}

export interface CorpusStats {
  readonly files: number;
  readonly sizeBytes: number;
  readonly documents: number;
  readonly tokens: number;
  readonly trainTokens: number;
  readonly heldOutTokens: number;
  readonly heldOutUnit: Split['unit'];
  readonly heldOutUnits: number;
  /** Whether the tokens were found in the cache. */
  readonly cached: boolean;
}

export interface Corpus {
  readonly train: TokenSource;
  readonly heldOut: TokenSource;
  readonly tokenizer: Tokenizer;
  readonly stats: CorpusStats;
  /** Names the tokens and their split: the same key means the same batches. */
  readonly key: string;
  /** Closes the token file; the sources cannot be read afterwards. */
  close(): void;
}

/**
 * Prepares a corpus.
 *
 * ```ts
 * const corpus = await prepareCorpus({
 *   inputs: ['data/sample'], tokenizer: { train: 'bpe', vocabSize: 8192 }, cacheDir: '.cache',
 * });
 * corpus.train.read(0, 128); // Int32Array of 128 ids
 * ```
 * @throws ApolloError BAD_CORPUS for text that cannot be read (see files.ts and documents.ts), BAD_TOKENIZER,
 * BAD_ARGUMENT for options out of range, ABORT_ERR when the signal fires. Nothing half-written is left.
 */
export async function prepareCorpus(options: CorpusOptions): Promise<Corpus> {
  const { inputs, cacheDir, heldOut = 0.02, heldOutSeed = 42, separator = 'auto', signal } = options;
  check(heldOut >= 0 && heldOut <= 0.5, `heldOut must be a fraction from 0 to 0.5; got ${heldOut}.`);
  throwIfAborted(signal);
  const files = findFiles(inputs);
  const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  const workers = options.workers ?? (sizeBytes < smallCorpusBytes ? 0 : Math.min(8, availableParallelism()));
  check(
    Number.isInteger(workers) && workers >= 0 && workers <= 256,
    `workers must be a whole number from 0 to 256; got ${workers}.`,
  );
  const given = 'path' in options.tokenizer ? loadTokenizer(options.tokenizer.path) : undefined;
  if ('train' in options.tokenizer) checkTraining(options.tokenizer.train, options.tokenizer.vocabSize);

  const cache = await Cache.open(cacheDir);
  const meter = new Meter(sizeBytes, options.onProgress);
  meter.phase = 'read';
  const digests = await cache.digests(files, (count) => meter.addBytes(count), signal);
  const text: TextInput = { files, digests, workers, signal, meter };
  const contentKey = keyOf(formatVersion, digests);
  const tokenizer = given ?? (await trainedTokenizer(cache, contentKey, text, options.tokenizer as TrainableChoice));
  const separatorId = separator === 'none' ? undefined : (tokenizer.specials.eot ?? tokenizer.specials.sep);
  const tokensKey = keyOf(contentKey, tokenizer.digest, separatorId ?? null);

  let entry = openEntry(cache.path(tokensKey));
  const cached = entry !== undefined;
  if (entry === undefined) {
    const setup: WorkSetup = { job: 'encode', definition: tokenizer.definition, separator: separatorId };
    await cache.write(tokensKey, (folder) => tokenise(folder, text, setup, tokenizer.vocabSize), true);
    entry = openEntry(cache.path(tokensKey));
    if (entry === undefined)
      throw new ApolloError('BAD_CORPUS', `The cache entry ${cache.path(tokensKey)} was changed while it was made.`);
  }
  const { file, documentEnds } = entry;
  try {
    const split = splitDocuments(documentEnds, heldOut, heldOutSeed);
    return {
      train: rangeSource(file, split.train),
      heldOut: rangeSource(file, split.heldOut),
      tokenizer,
      key: keyOf(tokensKey, heldOut, heldOutSeed),
      stats: {
        files: files.length,
        sizeBytes,
        documents: documentEnds.length,
        tokens: file.tokenCount,
        trainTokens: split.train.tokenCount,
        heldOutTokens: split.heldOut.tokenCount,
        heldOutUnit: split.unit,
        heldOutUnits: split.heldOutUnits,
        cached,
      },
      close: () => file.close(),
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

type TrainableChoice = { readonly train: TrainableKind; readonly vocabSize: number };

interface TextInput {
  readonly files: readonly CorpusFile[];
  readonly digests: readonly string[];
  readonly workers: number;
  readonly signal: AbortSignal | undefined;
  readonly meter: Meter;
}

const tokensFile = 'tokens.bin';
const documentsFile = 'documents.bin'; // ends of the documents as little-endian float64 token offsets

/** The tokens in a cache entry; undefined when there is none or it is damaged, and is to be made (again). */
function openEntry(folder: string): { file: TokenFile; documentEnds: Float64Array } | undefined {
  let file: TokenFile | undefined;
  try {
    file = new TokenFile(join(folder, tokensFile));
    const bytes = readFileSync(join(folder, documentsFile));
    const documentEnds = new Float64Array(new Uint8Array(bytes).buffer);
    if (documentEnds.at(-1) === file.tokenCount) return { file, documentEnds };
  } catch {
    // falls through: not there, cut off, or of another format
  }
  file?.close();
  return undefined;
}

/** Tokenises all text into a folder. */
async function tokenise(folder: string, text: TextInput, setup: WorkSetup, vocabSize: number): Promise<void> {
  const { meter } = text;
  meter.start('tokenise');
  const writer = new TokenFileWriter(join(folder, tokensFile), vocabSize);
  const ends: number[] = [];
  try {
    for await (const result of mapInOrder(setup, works(text), text.workers)) {
      const { ids, documentEnds } = result as Encoded;
      for (const end of documentEnds) ends.push(writer.tokenCount + end);
      writer.append(ids);
      meter.addTokens(ids.length, documentEnds.length);
    }
    if (writer.tokenCount === 0) {
      throw new ApolloError(
        'BAD_CORPUS',
        `The corpus is empty: ${text.files.length} file(s), and no text but white space in them.`,
      );
    }
  } catch (error) {
    writer.abandon();
    throw error;
  }
  writer.finish();
  await writeFile(join(folder, documentsFile), new Uint8Array(Float64Array.from(ends).buffer), { flush: true });
}

/** A tokenizer trained on the text, or read from the cache when this text has trained it before. */
async function trainedTokenizer(
  cache: Cache,
  contentKey: string,
  text: TextInput,
  choice: TrainableChoice,
): Promise<Tokenizer> {
  const { train: kind, vocabSize } = choice;
  const key = `tokenizer-${keyOf(contentKey, kind, vocabSize)}`;
  const file = join(cache.path(key), 'tokenizer.json');
  try {
    return loadTokenizer(file);
  } catch {
    // not there yet, or damaged: it is made (again)
  }
  const { meter, signal } = text;
  meter.start('count words');
  const counts = new Map<string, number>();
  for await (const result of mapInOrder({ job: 'count', kind }, works(text), text.workers)) {
    const { words, counts: added } = result as Counted;
    addWordCounts(counts, words, added);
  }
  meter.start('train tokenizer', vocabSize);
  let restedMs = performance.now();
  const onMerge = (tokens: number): Promise<void> | undefined => {
    if (performance.now() - restedMs < 30) return undefined;
    throwIfAborted(signal);
    meter.set(tokens);
    return new Promise((resolve) => {
      setImmediate(() => {
        restedMs = performance.now();
        resolve();
      });
    });
  };
  const definition: TokenizerDefinition = await trainTokenizer(kind, counts, { vocabSize, onMerge });
  const write = (folder: string) =>
    writeFile(join(folder, 'tokenizer.json'), JSON.stringify(definition), { flush: true });
  await cache.write(key, write, true);
  return createTokenizer(definition, file);
}

/** The text of all files as work for the pool; documents of nothing but white space are left out. */
async function* works({ files, digests, signal, meter }: TextInput): AsyncGenerator<Work> {
  let texts: string[] = [];
  let isLast: boolean[] = [];
  let length = 0;
  for (const [i, file] of files.entries()) {
    const onDigest = (sha256: string): void => {
      if (sha256 === digests[i]) return;
      throw new ApolloError(
        'BAD_CORPUS',
        `${file.path} was changed while it was read. Start again when it is complete.`,
      );
    };
    let hasText = false;
    for await (const piece of readDocuments(file, { onBytes: (count) => meter.addBytes(count), onDigest, signal })) {
      hasText ||= piece.text.trim() !== '';
      if (hasText) {
        texts.push(piece.text);
        isLast.push(piece.isLast);
        length += piece.text.length;
      }
      if (piece.isLast) hasText = false;
      if (length < workLength) continue;
      yield { texts, isLast };
      texts = [];
      isLast = [];
      length = 0;
    }
  }
  if (texts.length > 0) yield { texts, isLast };
}

/** Collects progress and reports it at most ten times a second, and at the end of each phase's bytes. */
class Meter {
  phase: CorpusProgress['phase'] = 'read';
  #done = 0;
  #total: number;
  #documents = 0;
  #tokens = 0;
  #startedMs = performance.now();
  #reportedMs = 0;

  constructor(
    readonly sizeBytes: number,
    readonly report: ((progress: CorpusProgress) => void) | undefined,
  ) {
    this.#total = sizeBytes;
  }

  start(phase: CorpusProgress['phase'], total = this.sizeBytes): void {
    this.phase = phase;
    this.#total = total;
    this.#startedMs = performance.now();
    this.#reportedMs = 0;
    this.set(0);
  }

  addBytes(count: number): void {
    this.set(this.#done + count);
  }

  addTokens(tokens: number, documents: number): void {
    this.#tokens += tokens;
    this.#documents += documents;
    this.set(this.#done);
  }

  set(done: number): void {
    this.#done = done;
    const nowMs = performance.now();
    if (this.report === undefined || (nowMs - this.#reportedMs < 100 && done < this.#total)) return;
    this.#reportedMs = nowMs;
    this.report({
      phase: this.phase,
      done,
      total: this.#total,
      documents: this.#documents,
      tokens: this.#tokens,
      tokensPerSecond: (1000 * this.#tokens) / Math.max(1, nowMs - this.#startedMs),
    });
  }
}
