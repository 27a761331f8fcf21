/**
 * Books of Project Gutenberg: what is before the START line and after the END line (licence, credits) is left out.
 * A file with several books gives several documents; one without a START line is one document as it is.
 */
import { LineSplitter } from '../lines.js';
import { type DocumentPiece, PieceCutter } from '../pieces.js';
import { type Format, isTextName, type Splitter, splitText } from './format.js';

export const gutenberg: Format = {
  name: 'gutenberg',
  endings: [],
  takes: isTextName,
  packable: true,
  reads: [],
  read: (input) => splitText(input, new Books()),
};

/** The first line of their files: "The Project Gutenberg eBook of ...", or the START line itself. */
export const isBookHeading = (line: string): boolean =>
  /^[*\s]*(?:the |this is the )?project gutenberg(?:'s|’s)?(?:\s|\(|$)/i.test(line) || start.test(line);

/** Files of the 1990s end their licence, which is in front, with "*END*THE SMALL PRINT". */
const start = /^\s*\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG|^\s*\*END ?\*? ?THE SMALL PRINT/i;
const end = /^\s*\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG|^\s*End of (?:the |this )?Project Gutenberg/i;

/** Lines that a START line with a long title may go on for. */
const longestMarker = 4;

/** UTF-16 units in front of the START line; when there are more, there is none. */
const longestHead = 1 << 20;

export class Books implements Splitter {
  readonly #cutter = new PieceCutter();
  readonly #lines = new LineSplitter('', Number.POSITIVE_INFINITY);
  #state: 'head' | 'marker' | 'book' | 'between' | 'plain' = 'head';
  #head: string[] = []; // the document if there is no START line
  #headLength = 0;
  #markerLines = 0;
  #blank = ''; // blank lines that belong to the book only if text follows
  #hasText = false; // whether the open book has text

  *add(text: string): Iterable<DocumentPiece> {
    for (const line of this.#lines.add(text)) yield* this.#take(line, '\n');
  }

  *end(): Iterable<DocumentPiece> {
    for (const line of this.#lines.end()) yield* this.#take(line, '');
    if (this.#state === 'head') yield* this.#giveHead();
    if (this.#state !== 'between') yield this.#cutter.end();
  }

  *#take(line: string, lineEnd: string): Iterable<DocumentPiece> {
    switch (this.#state) {
      case 'plain':
        yield* this.#cutter.add(line + lineEnd);
        return;
      case 'marker':
        if (/\*\*\*\s*$/.test(line) || line.trim() === '' || ++this.#markerLines >= longestMarker) this.#state = 'book';
        return;
      case 'book':
        if (end.test(line)) {
          yield this.#cutter.end();
          this.#state = 'between';
        } else if (line.trim() === '') {
          if (this.#hasText) this.#blank += line + lineEnd;
        } else {
          this.#hasText = true;
          yield* this.#cutter.add(this.#blank + line + lineEnd);
          this.#blank = '';
        }
        return;
      default:
        if (start.test(line)) this.#open(line);
        else if (this.#state === 'head') {
          this.#head.push(line, lineEnd);
          this.#headLength += line.length + 1;
          if (this.#headLength > longestHead) yield* this.#giveHead();
        }
    }
  }

  #open(line: string): void {
    const isWhole = /\*\*\*\s*$/.test(line) || !/^\s*\*\*\*/.test(line);
    this.#state = isWhole ? 'book' : 'marker';
    this.#markerLines = 1;
    this.#head = [];
    this.#blank = '';
    this.#hasText = false;
  }

  *#giveHead(): Iterable<DocumentPiece> {
    this.#state = 'plain';
    yield* this.#cutter.add(this.#head.join(''));
    this.#head = [];
  }
}
