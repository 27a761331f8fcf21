/** Interface of a corpus format: it splits a file into documents. index.ts lists the formats. */
import type { CorpusFile } from '../files.js';
import type { DocumentPiece } from '../pieces.js';

/** Which of a record's parts is the text, and how a table is written. */
export interface RecordOptions {
  /** Field of JSON lines, column of Parquet, CSV and TSV: its name, or for CSV and TSV its number from 1. */
  readonly field?: string | number | undefined;
  /** CSV and TSV: whether the first record names the columns. */
  readonly header?: boolean | undefined;
  /** CSV and TSV: whether fields may be in double quotes. Default: in CSV they may, in TSV not. */
  readonly quotes?: boolean | undefined;
  /** WikiExtractor's text: whether `&lt;`, `&gt;`, `&amp;` and escaped quotes become the characters they stand for. */
  readonly decodeEntities?: boolean | undefined;
}

export interface FormatInput extends Pick<CorpusFile, 'path' | 'sizeBytes'> {
  readonly options: RecordOptions;
  /** The file's text, unpacked and decoded, in chunks cut anywhere between two characters. */
  text(): AsyncGenerator<string>;
  /** A record that gives no document. */
  onSkip(reason: string): void;
  /** For formats that do not go through `text`: bytes of the file that have been read. */
  onBytes(count: number): void;
  readonly signal: AbortSignal | undefined;
}

export interface Format {
  /** Its name in the setting `format`. */
  readonly name: string;
  /** Ends of file names, with their dot, that mean this format; '' stands for a name without one. */
  readonly endings: readonly string[];
  /**
   * Whether a folder gives this file: `name` is its name without the ending of a packing, `packed` whether it had one,
   * `asked` whether the format was asked for by name.
   */
  takes(name: string, packed: boolean, asked: boolean): boolean;
  /** Whether a file may be packed (unpack/). */
  readonly packable: boolean;
  /** The options that change what is read. */
  readonly reads: readonly (keyof RecordOptions)[];
  /** Reports options that do not apply to the format before a file is read. @throws ApolloError BAD_CONFIG. */
  check?(path: string, options: RecordOptions): void;
  /** Documents in order. @throws ApolloError BAD_CORPUS with the place of what is wrong. */
  read(input: FormatInput): AsyncIterable<DocumentPiece>;
}

/** Turns text that comes in chunks into documents. */
export interface Splitter {
  add(text: string): Iterable<DocumentPiece>;
  end(): Iterable<DocumentPiece>;
}

/**
 * Passes a file to the splitter that `choose` finds for its first bytes without leading white space; undefined
 * while it needs more. `isWhole`: there is no more.
 */
export class ByBeginning implements Splitter {
  #head = '';
  #splitter: Splitter | undefined;

  constructor(readonly choose: (beginning: string, isWhole: boolean) => Splitter | undefined) {}

  *add(text: string): Iterable<DocumentPiece> {
    if (this.#splitter !== undefined) return yield* this.#splitter.add(text);
    this.#head += text;
    yield* this.#decide(false);
  }

  *end(): Iterable<DocumentPiece> {
    if (this.#splitter === undefined) yield* this.#decide(true);
    if (this.#splitter !== undefined) yield* this.#splitter.end();
  }

  *#decide(isWhole: boolean): Iterable<DocumentPiece> {
    this.#splitter = this.choose(this.#head.trimStart(), isWhole);
    if (this.#splitter === undefined) return;
    yield* this.#splitter.add(this.#head);
    this.#head = '';
  }
}

/** Reads a file with a splitter. */
export async function* splitText(input: FormatInput, splitter: Splitter): AsyncGenerator<DocumentPiece> {
  for await (const text of input.text()) yield* splitter.add(text);
  yield* splitter.end();
}

/** In a folder: .txt, what WikiExtractor names wiki_00, and packed files with such names. */
export function isTextName(name: string, packed: boolean): boolean {
  return /\.te?xt$|^wiki_\d+$/i.test(name) || (packed && !/\.[a-z]\w*$/i.test(name));
}
