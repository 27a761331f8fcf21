/** The text of one source of a corpus: its files as work for the pool, from any place on. */
import { ApolloError } from '../../errors.js';
import type { Meter } from '../corpus/meter.js';
import type { Work } from '../corpus/tasks.js';
import { BlankDocuments } from './blank-documents.js';
import { changed, readDocuments } from './documents.js';
import type { CorpusFile } from './files.js';
import { formats, type RecordOptions } from './formats/index.js';

/** UTF-16 units of text sent to a worker at once. */
const workLength = 1 << 17;

/** Files that belong together, read alike. */
export interface SourceText {
  readonly name: string;
  readonly files: readonly CorpusFile[];
  /** How the records of each file are read. */
  readonly options: readonly RecordOptions[];
  /** SHA-256 of each file. */
  readonly digests: readonly string[];
}

/** A place between two documents: `documents` of file number `file` are behind it. */
export interface TextPlace {
  readonly file: number;
  readonly documents: number;
  /** Number of documents skipped before it, by reason. */
  readonly skipped: Readonly<Record<string, number>>;
}

export const textStart: TextPlace = { file: 0, documents: 0, skipped: {} };

/** Everything that determines the documents of a source: contents of its files, formats, and options where they matter. */
export function textKey({ files, digests, options }: SourceText): unknown {
  return files.map(({ format }, i) => {
    const { field = 'text', header = true, quotes = null, decodeEntities = false } = options[i]!;
    const { reads } = formats.find(({ name }) => name === format)!;
    return [
      digests[i],
      format,
      ...(reads.includes('field') ? [field, header, quotes] : []),
      ...(decodeEntities ? ['decodeEntities'] : []),
    ];
  });
}

export interface WorkPlan {
  readonly from?: TextPlace;
  readonly meter: Meter;
  readonly signal: AbortSignal | undefined;
  /**
   * Called before each piece of work with the last place between two documents in it, so that what follows there of the
   * work belongs to a document that continues; undefined when there is none. Called again at the end of the text.
   */
  readonly onPlace?: (place: TextPlace | undefined) => void;
}

/** The text of all files; documents of nothing but white space are left out and counted as skipped. */
export async function* works(
  { files, digests, options }: SourceText,
  { from = textStart, meter, signal, onPlace }: WorkPlan,
): AsyncGenerator<Work> {
  const skipped: Record<string, number> = { ...from.skipped };
  let place: TextPlace | undefined;
  let texts: string[] = [];
  let isLast: boolean[] = [];
  let length = 0;
  let continues = false;
  const take = (): Work => {
    const work = { texts, isLast, continues };
    continues = isLast.at(-1) === false;
    onPlace?.(place);
    place = undefined;
    texts = [];
    isLast = [];
    length = 0;
    return work;
  };
  for (let i = from.file; i < files.length; i++) {
    const file = files[i]!;
    const behind = i === from.file ? from.documents : 0;
    let documents = 0;
    const onSkip = (reason: string): void => {
      if (documents >= behind) skipped[reason] = (skipped[reason] ?? 0) + 1;
    };
    const onDigest = (sha256: string): void => {
      if (sha256 !== digests[i]) throw changed(file.path);
    };
    const blank = new BlankDocuments(onSkip);
    const progress = { onBytes: (count: number) => meter.addBytes(count), onDigest, onSkip, signal };
    for await (const piece of readDocuments(file, progress, options[i])) {
      if (documents >= behind) {
        if (blank.keeps(piece)) {
          texts.push(piece.text);
          isLast.push(piece.isLast);
          length += piece.text.length;
        }
      }
      if (piece.isLast) {
        documents++;
        if (documents > behind) place = { file: i, documents, skipped: { ...skipped } };
      }
      if (length >= workLength) yield take();
    }
    if (documents < behind)
      throw new ApolloError('INTERNAL', `${file.path} has ${documents} documents, not ${behind}.`);
    place = { file: i + 1, documents: 0, skipped: { ...skipped } };
  }
  if (texts.length > 0) yield take();
  else onPlace?.(place);
}
