/**
 * What WikiExtractor writes: `<doc ...>` blocks, or one JSON object a line with id, url, title and text. Either way a
 * document begins with the article's title, as the blocks hold it.
 */
import { ApolloError } from '../../errors.js';
import { LineSplitter } from '../lines.js';
import { type DocumentPiece, PieceCutter } from '../pieces.js';
import { ByBeginning, type Format, type FormatInput, isTextName, type Splitter, splitText } from './format.js';
import { JsonRecords } from './json-lines.js';

export const wiki: Format = {
  name: 'wiki',
  endings: [],
  takes: isTextName,
  packable: true,
  hasRecords: false,
  read: (input) => splitText(input, blocksOrLines(input)),
};

const opening = /^<doc(?:\s[^\n]*)?>\r?$/;
const closing = /^<\/doc>\r?$/;

export const isOpening = (line: string): boolean => opening.test(line);

/** WikiExtractor's JSON objects begin with id, perhaps revid, and url. */
export const isArticleLine = (line: string): boolean => /^\{"id": ?"\d+", ?(?:"revid": ?"\d*", ?)?"url": ?"/.test(line);

/** JSON objects where the first letter is a brace. */
function blocksOrLines(input: FormatInput): Splitter {
  return new ByBeginning((start) => {
    if (start === '') return undefined;
    return start.startsWith('{') ? new ArticleLines(input) : new ArticleBlocks(input.path);
  });
}

/** One JSON object a line. The title is put before a text that does not begin with it. */
export class ArticleLines implements Splitter {
  readonly #records: JsonRecords;

  constructor(input: FormatInput) {
    this.#records = new JsonRecords({ ...input, options: { field: 'text' } }, ({ title }, text) =>
      typeof title !== 'string' || title === '' || text.startsWith(`${title}\n`) ? text : `${title}\n\n${text}`,
    );
  }

  add(text: string): Iterable<DocumentPiece> {
    return this.#records.add(text);
  }

  end(): Iterable<DocumentPiece> {
    return this.#records.end();
  }
}

/** `<doc ...>` to `</doc>`; the lines between are taken as they are, the title too. */
export class ArticleBlocks implements Splitter {
  readonly #cutter = new PieceCutter();
  readonly #lines: LineSplitter;
  #openedAt = 0; // line number of the block that is open, 0 outside

  constructor(readonly path: string) {
    this.#lines = new LineSplitter(path);
  }

  *add(text: string): Iterable<DocumentPiece> {
    for (const line of this.#lines.add(text)) yield* this.#take(line, '\n');
  }

  *end(): Iterable<DocumentPiece> {
    for (const line of this.#lines.end()) yield* this.#take(line, '');
    if (this.#openedAt > 0) {
      throw this.#bad(
        `the <doc> block that starts at line ${this.#openedAt} has no </doc>. The file was cut off, or a line is missing`,
      );
    }
  }

  *#take(line: string, lineEnd: string): Iterable<DocumentPiece> {
    const { number } = this.#lines;
    if (this.#openedAt > 0) {
      if (closing.test(line)) {
        this.#openedAt = 0;
        yield this.#cutter.end();
      } else if (opening.test(line)) {
        throw this.#bad(`line ${number} opens a <doc> block inside the one of line ${this.#openedAt}`);
      } else {
        yield* this.#cutter.add(line + lineEnd);
      }
    } else if (opening.test(line)) {
      this.#openedAt = number;
    } else if (line.trim() !== '') {
      throw this.#bad(`line ${number} is outside of the <doc> blocks: ${JSON.stringify(line.slice(0, 60))}`);
    }
  }

  #bad(reason: string): ApolloError {
    return new ApolloError('BAD_CORPUS', `${this.path}: ${reason}.`);
  }
}
