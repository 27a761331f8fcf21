/**
 * Output of WikiExtractor: `<doc ...>` blocks, or one JSON object per line with id, url, title and text. Either way a
 * document starts with the article's title, as the blocks hold it; an article without text (a redirect, an entry of
 * Wikidata) is an empty document, which is skipped.
 */
import { ApolloError } from '../../../errors.js';
import { parseJson } from '../json.js';
import { LineSplitter } from '../lines.js';
import { type DocumentPiece, PieceCutter } from '../pieces.js';
import { ByBeginning, type Format, type FormatInput, isTextName, type Splitter, splitText } from './format.js';
import { JsonRecords } from './json-lines.js';

export const wiki: Format = {
  name: 'wiki',
  endings: [],
  takes: isTextName,
  packable: true,
  reads: ['decodeEntities'],
  read: (input) => splitText(input, blocksOrLines(input)),
};

const opening = /^<doc(?:\s[^\n]*)?>\r?$/;
const closing = /^<\/doc>\r?$/;

export const isOpening = (line: string): boolean => opening.test(line);

/**
 * Whether a line is an article as a JSON object, regardless of the order of its keys: it has a title, a text, and an id or a
 * url.
 */
export function isArticleLine(line: string): boolean {
  if (!line.trimStart().startsWith('{')) return false;
  try {
    const record = parseJson(line) as Readonly<Record<string, unknown>>;
    return typeof record['text'] === 'string' && 'title' in record && ('id' in record || 'url' in record);
  } catch {
    return false;
  }
}

/** JSON objects where the first letter is a brace. */
function blocksOrLines(input: FormatInput): Splitter {
  return new ByBeginning((start) => {
    if (start === '') return undefined;
    return start.startsWith('{') ? new ArticleLines(input) : new ArticleBlocks(input);
  });
}

/** One pass, so that `&amp;lt;` becomes `&lt;`, what was escaped. */
const entities: Readonly<Record<string, string>> = {
  '&lt;': '<',
  '&gt;': '>',
  '&amp;': '&',
  '&quot;': '"',
  '&#39;': "'",
  '&#x27;': "'",
};

const unescaped = (text: string): string => text.replace(/&(?:lt|gt|amp|quot|#39|#x27);/g, (name) => entities[name]!);

type ArticleInput = Pick<FormatInput, 'path' | 'options' | 'onSkip'>;

/** One JSON object per line. The title is put before a text that does not start with it. */
export class ArticleLines implements Splitter {
  readonly #records: JsonRecords;

  constructor(input: ArticleInput) {
    const plain = input.options.decodeEntities ? unescaped : (text: string): string => text;
    this.#records = new JsonRecords({ ...input, options: { field: 'text' } }, (record, escaped) => {
      const { title: name } = record;
      const title = typeof name === 'string' ? plain(name) : '';
      const text = plain(escaped);
      if (text.trim() === '' || text.trim() === title.trim()) return '';
      return title === '' || text.startsWith(`${title}\n`) ? text : `${title}\n\n${text}`;
    });
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
  readonly path: string;
  readonly #cutter = new PieceCutter();
  readonly #lines: LineSplitter;
  readonly #plain: (text: string) => string;
  #openedAt = 0; // line number of the block that is open, 0 outside
  #title: string | undefined; // of the open block
  #head: string | undefined; // its title and blank lines, until text follows

  constructor({ path, options }: Pick<ArticleInput, 'path' | 'options'>) {
    this.path = path;
    this.#lines = new LineSplitter(path);
    this.#plain = options.decodeEntities ? unescaped : (text) => text;
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
        yield* this.#inside(line, lineEnd);
      }
    } else if (opening.test(line)) {
      this.#openedAt = number;
      this.#title = /\btitle="(.*)">\r?$/.exec(line)?.[1]?.trim();
      this.#head = '';
    } else if (line.trim() !== '') {
      throw this.#bad(`line ${number} is outside of the <doc> blocks: ${JSON.stringify(line.slice(0, 60))}`);
    }
  }

  /** The title is held back until text follows it: a block of a title alone has none. */
  *#inside(line: string, lineEnd: string): Iterable<DocumentPiece> {
    const text = this.#plain(line) + lineEnd;
    if (this.#head === undefined) {
      yield* this.#cutter.add(text);
      return;
    }
    const isTitle = this.#head.trim() === '' && line.trim() === this.#title;
    this.#head += text;
    if (isTitle || line.trim() === '') return;
    yield* this.#cutter.add(this.#head);
    this.#head = undefined;
  }

  #bad(reason: string): ApolloError {
    return new ApolloError('BAD_CORPUS', `${this.path}: ${reason}.`);
  }
}
