/**
 * Streams the documents of a file in any supported format (formats/), unpacked where it is packed (unpack/). Text
 * comes in pieces, so that memory does not grow with the file.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { ApolloError } from '../../errors.js';
import { throwIfAborted } from '../corpus/abort.js';
import { type CorpusFile, describe } from './files.js';
import { formats, type RecordOptions } from './formats/index.js';
import type { DocumentPiece } from './pieces.js';
import { DamagedPacking, type Packing, packings } from './unpack/index.js';
import { InvalidUtf8, Utf8Reader } from './utf8.js';

export type { DocumentPiece } from './pieces.js';

export interface ReadProgress {
  /** Bytes of the file on disk, before unpacking, that have been read so far. */
  onBytes?(count: number): void;
  /** SHA-256 of the file, when it has been read to its end; not of Parquet, which is not read in one go. */
  onDigest?(sha256: string): void;
  /** A record that gives no document, and why. */
  onSkip?(reason: string): void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The pieces of one file's documents, in order.
 * @throws ApolloError BAD_CORPUS for a file that cannot be read, is damaged, binary, not UTF-8 or not of its format,
 * with the place; BAD_CONFIG for options that do not go with the format; ABORT_ERR when the signal fires.
 */
export async function* readDocuments(
  file: CorpusFile,
  progress: ReadProgress = {},
  options: RecordOptions = {},
): AsyncGenerator<DocumentPiece> {
  const { path, sizeBytes } = file;
  const format = formats.find(({ name }) => name === file.format)!;
  const packing = packings.find(({ name }) => name === file.packing);
  const { onDigest } = progress;
  let hasDigest = false;
  const reported: ReadProgress = {
    ...progress,
    onDigest(sha256) {
      hasDigest = true;
      onDigest?.(sha256);
    },
  };
  try {
    await checkStart(file, packing);
    yield* format.read({
      path,
      sizeBytes,
      options,
      text: () => readText(file, packing, reported),
      onSkip: (reason) => progress.onSkip?.(reason),
      onBytes: (count) => progress.onBytes?.(count),
      signal: progress.signal,
    });
  } catch (error) {
    throw explain(error, file);
  }
  // Without a digest, the file's times are compared.
  if (!hasDigest && describe(path).fingerprint !== file.fingerprint) throw changed(path);
}

/** The error for a file that was not left alone. */
export function changed(path: string): ApolloError {
  return new ApolloError('BAD_CORPUS', `${path} was changed while it was read. Start again when it is complete.`);
}

/** The text of a file in chunks cut anywhere between two characters. */
async function* readText(
  { path }: CorpusFile,
  packing: Packing | undefined,
  { onBytes, onDigest, signal }: ReadProgress,
): AsyncGenerator<string> {
  const utf8 = new Utf8Reader();
  const digest = createHash('sha256');
  async function* packedBytes(): AsyncGenerator<Uint8Array> {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 18 })) {
      throwIfAborted(signal);
      onBytes?.((chunk as Buffer).length);
      digest.update(chunk as Buffer);
      yield chunk as Buffer;
    }
  }
  for await (const chunk of packing?.unpack(packedBytes()) ?? packedBytes()) {
    throwIfAborted(signal);
    const text = utf8.decode(chunk);
    if (text !== '') yield text;
  }
  utf8.end();
  onDigest?.(digest.digest('hex'));
}

/** First bytes of other kinds of files, and advice for each. */
const foreign: readonly (readonly [start: string, what: string])[] = [
  ['PAR1', 'holds Parquet data. Name it .parquet, or give format "parquet".'],
  ['PK\x03\x04', 'is a zip archive. Unpack it first.'],
  ['BZh', 'is compressed with bzip2, which is not supported. Decompress it, or use gzip or zstd.'],
  ['\xfd7zX', 'is compressed with xz, which is not supported. Decompress it, or use gzip or zstd.'],
  ['%PDF', 'is a PDF document. Extract its text first.'],
];

/** Reports a name that contradicts the content, before an unpacker or a decoder fails less clearly. */
async function checkStart({ path, format }: CorpusFile, packing: Packing | undefined): Promise<void> {
  const handle = await open(path);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, 0);
    const head = buffer.subarray(0, bytesRead);
    const bad = (what: string): ApolloError => new ApolloError('BAD_CORPUS', `${path} ${what}`);
    if (packing !== undefined) {
      if (!packing.starts(head)) throw bad(`is named ${packing.ending} and does not hold ${packing.name} data.`);
      return;
    }
    const text = head.toString('latin1');
    if (format === 'parquet') {
      if (text !== 'PAR1') throw bad('is not a Parquet file: it does not start with PAR1.');
      return;
    }
    const packed = packings.find(({ starts }) => starts(head));
    if (packed !== undefined) throw bad(`holds ${packed.name} data. Name it ${path}${packed.ending}, or unpack it.`);
    const other = foreign.find(([start]) => text.startsWith(start));
    if (other !== undefined) throw bad(other[1]);
  } finally {
    await handle.close();
  }
}

function explain(error: unknown, { path, packing }: CorpusFile): unknown {
  if (error instanceof ApolloError) return error;
  if (error instanceof DamagedPacking)
    return new ApolloError('BAD_CORPUS', `${path} ${error.message}`, { cause: error });
  if (error instanceof InvalidUtf8) {
    const unpacked = packing ? ' of the unpacked text' : '';
    const what = {
      zero: `has a zero byte at byte ${error.offset}${unpacked}, so it is binary (or UTF-16). Give UTF-8 text`,
      cut: `ends inside a UTF-8 character that starts at byte ${error.offset}${unpacked}. The file was cut off`,
      invalid: `is not UTF-8: byte ${error.offset}${unpacked} does not fit. Convert it, for example with iconv`,
    }[error.kind];
    return new ApolloError('BAD_CORPUS', `${path} ${what}.`, { cause: error });
  }
  if ((error as NodeJS.ErrnoException).code === undefined) return error;
  return new ApolloError('BAD_CORPUS', `${path} cannot be read: ${(error as Error).message}.`, { cause: error });
}
