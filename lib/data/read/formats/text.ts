/**
 * Plain text. `text` is one document a file. `auto`, which is what names such as .txt mean, looks at the first line:
 * `<doc ...>` or a JSON object as WikiExtractor writes it is `wiki`, Project Gutenberg's heading is `gutenberg`.
 */
import { type DocumentPiece, PieceCutter } from '../pieces.js';
import { ByBeginning, type Format, type FormatInput, isTextName, type Splitter, splitText } from './format.js';
import { Books, isBookHeading } from './gutenberg.js';
import { ArticleBlocks, ArticleLines, isArticleLine, isOpening } from './wiki.js';

const common = { packable: true, takes: isTextName } as const;

export const text: Format = {
  ...common,
  name: 'text',
  reads: [],
  endings: [],
  read: (input) => splitText(input, new WholeFile()),
};

export const auto: Format = {
  ...common,
  name: 'auto',
  reads: ['decodeEntities'], // it may turn out to be wiki
  endings: ['.txt', '.text', '.md', ''],
  read: (input) => splitText(input, byFirstLine(input)),
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

/** A first line longer than this decides by its start; one that may be a JSON object, which must be seen whole, later. */
const longestOpening = 4096;
const longestArticle = 1 << 23;

/** The layout by the first line that is not blank. */
function byFirstLine(input: FormatInput): Splitter {
  return new ByBeginning((start, isWhole) => {
    const lineEnd = start.indexOf('\n');
    const most = start.startsWith('{') ? longestArticle : longestOpening;
    if (lineEnd < 0 && start.length < most && !isWhole) return undefined;
    const line = lineEnd < 0 ? start : start.slice(0, lineEnd);
    if (isOpening(line)) return new ArticleBlocks(input);
    if (isArticleLine(line)) return new ArticleLines(input);
    return isBookHeading(line) ? new Books() : new WholeFile();
  });
}
