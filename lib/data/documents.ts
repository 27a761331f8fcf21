/**
 * Streams the documents of text files. A file that starts with a line `<doc ...>` holds one document from each such
 * line to the next `</doc>` (as WikiExtractor writes; the lines between are taken as they are, the title too); any
 * other file is one document. Text comes in pieces, so that memory does not grow with the file.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { ApolloError } from '../errors.js';
import type { CorpusFile } from './files.js';
import { InvalidUtf8, Utf8Reader } from './utf8.js';

/** A piece of a document; the pieces of a document follow one another, and `isLast` closes it. */
export interface DocumentPiece {
  readonly text: string;
  readonly isLast: boolean;
}

export interface ReadProgress {
  /** Bytes of the file, as it lies on disk, that have been read so far. */
  onBytes?(count: number): void;
  /** SHA-256 of the file, when it has been read to its end. */
  onDigest?(sha256: string): void;
  readonly signal?: AbortSignal | undefined;
}

/** A long document is cut into pieces of about this many UTF-16 units. */
const pieceLength = 1 << 17;

/** Without a place to cut for this long, a piece is cut anywhere (between two code points). */
const longestPiece = 1 << 22;

/** A first line longer than this opens no `<doc>` block. */
const longestOpening = 4096;

const opening = /^<doc(?:\s[^\n]*)?>\r?$/;
const closing = /^<\/doc>\r?$/;

/**
 * The pieces of one file's documents, in order.
 * @throws ApolloError BAD_CORPUS for a file that is damaged gzip, binary, not UTF-8, or whose `<doc>` blocks are not
 * closed, with the place; ABORT_ERR when the signal fires.
 */
export async function* readDocuments(file: CorpusFile, progress: ReadProgress = {}): AsyncGenerator<DocumentPiece> {
  let splitter: Splitter | undefined;
  let head = '';
  for await (const text of readText(file, progress)) {
    if (splitter === undefined) {
      // The layout is decided by the first line that is not blank.
      head += text;
      const start = head.trimStart();
      const lineEnd = start.indexOf('\n');
      if (lineEnd < 0 && start.length < longestOpening) continue;
      splitter = opening.test(lineEnd < 0 ? start : start.slice(0, lineEnd))
        ? new BlockSplitter(file.path)
        : new WholeFile();
      yield* splitter.add(head);
      head = '';
    } else {
      yield* splitter.add(text);
    }
  }
  if (splitter === undefined) {
    splitter = new WholeFile();
    yield* splitter.add(head);
  }
  yield* splitter.end();
}

/** The text of a file, unpacked where its name ends in .gz, in chunks cut anywhere between two characters. */
async function* readText(file: CorpusFile, { onBytes, onDigest, signal }: ReadProgress): AsyncGenerator<string> {
  const packed = file.path.endsWith('.gz');
  await checkStart(file.path, packed);
  const utf8 = new Utf8Reader();
  const digest = createHash('sha256');
  const source = createReadStream(file.path, { highWaterMark: 1 << 18 });
  source.on('data', (chunk) => {
    onBytes?.(chunk.length);
    digest.update(chunk);
  });
  const stream = packed ? source.pipe(createGunzip({ chunkSize: 1 << 18 })) : source;
  if (packed) source.on('error', (error) => stream.destroy(error));
  try {
    for await (const chunk of stream) {
      throwIfAborted(signal);
      const text = utf8.decode(chunk as Buffer);
      if (text !== '') yield text;
    }
    utf8.end();
    onDigest?.(digest.digest('hex'));
  } catch (error) {
    throw explain(error, file.path, packed);
  } finally {
    source.destroy();
    stream.destroy();
  }
}

/** Tells a name from a content that contradict each other, before the unpacker or the decoder fails less clearly. */
async function checkStart(path: string, packed: boolean): Promise<void> {
  const handle = await open(path).catch((error: Error) => {
    throw new ApolloError('BAD_CORPUS', `${path} cannot be read: ${error.message}.`, { cause: error });
  });
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0);
    const isGzip = bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b;
    if (isGzip && !packed)
      throw new ApolloError('BAD_CORPUS', `${path} holds gzip data. Name it ${path}.gz, or unpack it.`);
    if (!isGzip && packed) throw new ApolloError('BAD_CORPUS', `${path} is named .gz and does not hold gzip data.`);
  } finally {
    await handle.close();
  }
}

function explain(error: unknown, path: string, packed: boolean): unknown {
  const unpacked = packed ? ' of the unpacked text' : '';
  if (error instanceof InvalidUtf8) {
    const what = {
      zero: `has a zero byte at byte ${error.offset}${unpacked}, so it is binary (or UTF-16). Give UTF-8 text`,
      cut: `ends inside a UTF-8 character that starts at byte ${error.offset}${unpacked}. The file was cut off`,
      invalid: `is not UTF-8: byte ${error.offset}${unpacked} does not fit. Convert it, for example with iconv`,
    }[error.kind];
    return new ApolloError('BAD_CORPUS', `${path} ${what}.`, { cause: error });
  }
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'Z_BUF_ERROR') {
    return new ApolloError(
      'BAD_CORPUS',
      `${path} ends before its gzip data does. The file was cut off; copy it again.`,
    );
  }
  if (code?.startsWith('Z_')) {
    return new ApolloError('BAD_CORPUS', `${path} holds damaged gzip data (${(error as Error).message}).`, {
      cause: error,
    });
  }
  if (error instanceof ApolloError || code === undefined) return error;
  return new ApolloError('BAD_CORPUS', `${path} cannot be read: ${(error as Error).message}.`, { cause: error });
}

/** @throws ApolloError ABORT_ERR when the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new ApolloError('ABORT_ERR', 'Preparing the corpus was cancelled.', { cause: signal.reason });
}

interface Splitter {
  add(text: string): Iterable<DocumentPiece>;
  end(): Iterable<DocumentPiece>;
}

/** Collects text and gives it out in pieces that are tokenised the same as the whole. */
class PieceCutter {
  #text = '';

  *add(text: string): Iterable<DocumentPiece> {
    this.#text += text;
    while (this.#text.length > pieceLength) {
      const cut = cutPlace(this.#text);
      if (cut === undefined) return;
      yield { text: this.#text.slice(0, cut), isLast: false };
      this.#text = this.#text.slice(cut);
    }
  }

  end(): DocumentPiece {
    const text = this.#text;
    this.#text = '';
    return { text, isLast: true };
  }
}

/**
 * The first place at or after pieceLength where neither BERT's nor GPT-2's split looks across: before a blank or line
 * end that follows a character that is no white space. GPT-2's words start with their blank and no word ends with
 * white space there; BERT's words end at it.
 */
function cutPlace(text: string): number | undefined {
  for (let i = pieceLength; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if ((code === 0x20 || code === 0x0a) && !/\s|\x85/.test(text[i - 1]!)) return i;
  }
  if (text.length <= longestPiece) return undefined;
  const code = text.charCodeAt(longestPiece);
  return code >= 0xdc00 && code <= 0xdfff ? longestPiece - 1 : longestPiece;
}

class WholeFile implements Splitter {
  readonly #cutter = new PieceCutter();

  add(text: string): Iterable<DocumentPiece> {
    return this.#cutter.add(text);
  }

  end(): Iterable<DocumentPiece> {
    return [this.#cutter.end()];
  }
}

class BlockSplitter implements Splitter {
  readonly #cutter = new PieceCutter();
  #line = ''; // the line that has begun and not ended
  #lineNumber = 0;
  #openedAt = 0; // line number of the block that is open, 0 outside

  constructor(readonly path: string) {}

  *add(text: string): Iterable<DocumentPiece> {
    const lines = (this.#line + text).split('\n');
    this.#line = lines.pop()!;
    for (const line of lines) yield* this.#take(line, '\n');
  }

  *end(): Iterable<DocumentPiece> {
    if (this.#line !== '') yield* this.#take(this.#line, '');
    if (this.#openedAt > 0) {
      throw this.#bad(
        `the <doc> block that starts at line ${this.#openedAt} has no </doc>. The file was cut off, or a line is missing`,
      );
    }
  }

  *#take(line: string, lineEnd: string): Iterable<DocumentPiece> {
    this.#lineNumber++;
    if (this.#openedAt > 0) {
      if (closing.test(line)) {
        this.#openedAt = 0;
        yield this.#cutter.end();
      } else if (opening.test(line)) {
        throw this.#bad(`line ${this.#lineNumber} opens a <doc> block inside the one of line ${this.#openedAt}`);
      } else {
        yield* this.#cutter.add(line + lineEnd);
      }
    } else if (opening.test(line)) {
      this.#openedAt = this.#lineNumber;
    } else if (line.trim() !== '') {
      throw this.#bad(`line ${this.#lineNumber} is outside of the <doc> blocks: ${JSON.stringify(line.slice(0, 60))}`);
    }
  }

  #bad(reason: string): ApolloError {
    return new ApolloError('BAD_CORPUS', `${this.path}: ${reason}.`);
  }
}
