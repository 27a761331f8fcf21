/**
 * Plain text. `text` is one document a file. `auto`, which is what names such as .txt mean, looks at the first line:
 * `<doc ...>` or a JSON object as WikiExtractor writes it is `wiki`, Project Gutenberg's heading is `gutenberg`.
 */
import { type DocumentPiece, PieceCutter } from '../pieces.js';
import { type Format, type FormatInput, isTextName, type Splitter, splitText } from './format.js';
import { Books, isBookHeading } from './gutenberg.js';
import { ArticleBlocks, ArticleLines, isArticleLine, isOpening } from './wiki.js';

const common = { packable: true, hasRecords: false, takes: isTextName } as const;

export const text: Format = {
  ...common,
  name: 'text',
  endings: [],
  read: (input) => splitText(input, new WholeFile()),
};

export const auto: Format = {
  ...common,
  name: 'auto',
  endings: ['.txt', '.text', '.md', ''],
  read: (input) => splitText(input, new ByFirstLine(input)),
};

class WholeFile implements Splitter {
  readonly #cutter = new PieceCutter();

  add(text: string): Iterable<DocumentPiece> {
    return this.#cutter.add(text);
  }

  end(): Iterable<DocumentPiece> {
    return [this.#cutter.end()];
  }
}

/** A first line longer than this decides by its start. */
const longestOpening = 4096;

/** Decides the layout by the first line that is not blank. */
class ByFirstLine implements Splitter {
  #head = '';
  #splitter: Splitter | undefined;

  constructor(readonly input: FormatInput) {}

  *add(text: string): Iterable<DocumentPiece> {
    if (this.#splitter !== undefined) return yield* this.#splitter.add(text);
    this.#head += text;
    const start = this.#head.trimStart();
    if (start.includes('\n') || start.length >= longestOpening) yield* this.#decide();
  }

  *end(): Iterable<DocumentPiece> {
    if (this.#splitter === undefined) yield* this.#decide();
    yield* this.#splitter!.end();
  }

  *#decide(): Iterable<DocumentPiece> {
    const start = this.#head.trimStart();
    const lineEnd = start.indexOf('\n');
    const line = lineEnd < 0 ? start : start.slice(0, lineEnd);
    if (isOpening(line)) this.#splitter = new ArticleBlocks(this.input.path);
    else if (isArticleLine(line)) this.#splitter = new ArticleLines(this.input);
    else if (isBookHeading(line)) this.#splitter = new Books();
    else this.#splitter = new WholeFile();
    yield* this.#splitter.add(this.#head);
    this.#head = '';
  }
}
