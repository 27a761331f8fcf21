/**
 * Tokenises the text of a source into a folder, in worker threads, and resumes where an earlier call was stopped: now
 * and then what is written is brought to the disk, and a journal records the last document. The files are the
 * same however often that happened.
 */
import { closeSync, existsSync, fsyncSync, ftruncateSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ApolloError } from '../../errors.js';
import { writeWholeFile } from '../../fs/whole-file.js';
import { type SourceText, type TextPlace, textStart, works } from '../read/source-text.js';
import type { Meter } from './meter.js';
import type { Encoded, WorkSetup } from './tasks.js';
import { TokenFile, TokenFileWriter } from './token-file.js';
import { mapInOrder } from './worker-pool.js';

const tokensFile = 'tokens.bin';
const documentsFile = 'documents.bin'; // ends of the documents as little-endian float64 token offsets
const aboutFile = 'about.json';
const journalFile = 'journal.json';

/** Tokens after which the journal is written again: a second or a few of work. */
const journalTokens = 1 << 20;

/** How far an entry is: tokens and documents that are on the disk, and the place in the text that they reach to. */
interface Journal {
  readonly tokens: number;
  readonly documents: number;
  readonly place: TextPlace;
}

export interface TokeniseOptions {
  readonly text: SourceText;
  readonly setup: WorkSetup;
  readonly vocabSize: number;
  readonly workers: number;
  readonly meter: Meter;
  readonly signal: AbortSignal | undefined;
  /** For tests: tokens between two journals. */
  readonly journalEvery?: number | undefined;
}

/** Contents of a complete folder. */
export interface Tokenised {
  readonly file: TokenFile;
  readonly documentEnds: Float64Array;
  /** Records that gave no document, by reason. */
  readonly skipped: Readonly<Record<string, number>>;
}

/** The tokens in a folder whose files are as they were written; undefined when there are none. */
export function openTokenised(folder: string): Tokenised | undefined {
  let file: TokenFile | undefined;
  try {
    file = new TokenFile(join(folder, tokensFile));
    const bytes = readFileSync(join(folder, documentsFile));
    const documentEnds = new Float64Array(new Uint8Array(bytes).buffer);
    const { skipped } = JSON.parse(readFileSync(join(folder, aboutFile), 'utf8')) as Pick<Tokenised, 'skipped'>;
    if (documentEnds.at(-1) === file.tokenCount) return { file, documentEnds, skipped };
  } catch {
    // falls through: not there, cut off, or of another format
  }
  file?.close();
  return undefined;
}

/** Whether an incomplete entry can be resumed. */
export function hasJournal(folder: string): boolean {
  return existsSync(join(folder, journalFile));
}

/**
 * Fills a folder.
 * @throws ApolloError BAD_CORPUS for text that cannot be read, or without a document; ABORT_ERR when the signal fires,
 * after what is done has been written down.
 */
export async function tokenise(folder: string, options: TokeniseOptions): Promise<void> {
  const { text, setup, vocabSize, workers, meter, signal, journalEvery = journalTokens } = options;
  const { journal, tokens, ends } = await openOutput(folder, vocabSize);
  let saved = journal;
  let reached = journal;
  const save = async (): Promise<void> => {
    if (reached.tokens === saved.tokens) return;
    tokens.sync();
    ends.sync();
    await writeJournal(folder, reached);
    saved = reached;
  };
  const sizeBytes = text.files.reduce((sum, file) => sum + file.sizeBytes, 0);
  meter.start('tokenise', sizeBytes, text.name);
  const bytesBehind = text.files.slice(0, saved.place.file).reduce((sum, file) => sum + file.sizeBytes, 0);
  meter.goOn(bytesBehind, saved.tokens, saved.documents);
  const places: (TextPlace | undefined)[] = []; // of the current work
  const source = works(text, { from: saved.place, meter, signal, onPlace: (place) => places.push(place) });
  try {
    for await (const result of mapInOrder(setup, source, workers)) {
      const { ids, documentEnds } = result as Encoded;
      const place = places.shift();
      const before = tokens.tokenCount;
      ends.append(documentEnds.map((end) => before + end));
      tokens.append(ids);
      meter.addTokens(ids.length, documentEnds.length);
      if (place === undefined) continue;
      reached = { tokens: before + (documentEnds.at(-1) ?? 0), documents: ends.count, place };
      if (reached.tokens - saved.tokens >= journalEvery) await save();
    }
    const { skipped } = places.shift() ?? reached.place;
    if (tokens.tokenCount === 0) {
      const reasons = Object.entries(skipped).map(([reason, count]) => `${reason}: ${count}`);
      throw new ApolloError(
        'BAD_CORPUS',
        `The corpus is empty: ${text.files.length} file(s), which contain only white space${reasons.length > 0 ? ` (skipped: ${reasons.join('; ')})` : ''}.`,
      );
    }
    await writeFile(join(folder, aboutFile), JSON.stringify({ skipped }), { flush: true });
  } catch (error) {
    if (error instanceof ApolloError && error.code === 'ABORT_ERR') await save();
    tokens.abandon();
    ends.abandon();
    throw error;
  }
  tokens.finish();
  ends.finish();
  await rm(join(folder, journalFile), { force: true });
  meter.finish();
}

/** The files to write: after the end that an earlier start's journal records, or empty. */
async function openOutput(folder: string, vocabSize: number) {
  const [tokensPath, endsPath] = [join(folder, tokensFile), join(folder, documentsFile)];
  const journal = await readJournal(folder);
  if (journal !== undefined && statSync(endsPath).size >= 8 * journal.documents) {
    try {
      const tokens = new TokenFileWriter(tokensPath, vocabSize, journal.tokens);
      return { journal, tokens, ends: new EndsWriter(endsPath, journal.documents) };
    } catch {
      // falls through: the files do not match the journal
    }
  }
  for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true });
  return {
    journal: { tokens: 0, documents: 0, place: textStart },
    tokens: new TokenFileWriter(tokensPath, vocabSize),
    ends: new EndsWriter(endsPath, 0),
  };
}

/** The ends of documents as they come. */
class EndsWriter {
  readonly #fd: number;
  count: number;

  /** Resumes after the first `keep` ends. */
  constructor(path: string, keep: number) {
    this.#fd = openSync(path, keep > 0 ? 'r+' : 'w');
    ftruncateSync(this.#fd, 8 * keep);
    this.count = keep;
  }

  append(ends: readonly number[]): void {
    const bytes = new Uint8Array(Float64Array.from(ends).buffer);
    for (let done = 0; done < bytes.length; )
      done += writeSync(this.#fd, bytes, done, bytes.length - done, 8 * this.count + done);
    this.count += ends.length;
  }

  sync(): void {
    fsyncSync(this.#fd);
  }

  finish(): void {
    fsyncSync(this.#fd);
    closeSync(this.#fd);
  }

  abandon(): void {
    closeSync(this.#fd);
  }
}

async function readJournal(folder: string): Promise<Journal | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, journalFile), 'utf8')) as Journal;
  } catch {
    return undefined; // nothing was started
  }
}

function writeJournal(folder: string, journal: Journal): Promise<void> {
  return writeWholeFile(join(folder, journalFile), JSON.stringify(journal), 'The journal of the prepared text');
}
