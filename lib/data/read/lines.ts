/** Text in chunks to whole lines, with their numbers. */
import { ApolloError } from '../../errors.js';

/** UTF-16 units of the longest line that is taken for one record. */
export const longestLine = 1 << 26;

export class LineSplitter {
  /** Number of the line given out last, from 1. */
  number = 0;
  #rest: string[] = []; // the unfinished line
  #length = 0;

  /** `limit`: a longer line is an error; none where lines are handed on as they come. */
  constructor(
    readonly path: string,
    readonly limit = longestLine,
  ) {}

  /** Whether there is no unfinished line. */
  get isBetween(): boolean {
    return this.#length === 0;
  }

  /**
   * The lines that end in `text`, without their line feeds.
   * @throws ApolloError BAD_CORPUS for a line longer than the limit.
   */
  *add(text: string): Iterable<string> {
    let start = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      const line = this.#take(text.slice(start, end));
      start = end + 1;
      this.number++;
      yield line;
    }
    if (start === text.length) return;
    this.#rest.push(start === 0 ? text : text.slice(start));
    this.#length += text.length - start;
    if (this.#length > this.limit) {
      throw new ApolloError(
        'BAD_CORPUS',
        `${this.path}: line ${this.number + 1} is longer than ${this.limit} characters. Is it another format? Name it with format.`,
      );
    }
  }

  /** The last line, where no line feed ends it. */
  *end(): Iterable<string> {
    if (this.#length === 0) return;
    this.number++;
    yield this.#take('');
  }

  #take(text: string): string {
    if (this.#length === 0) return text;
    this.#rest.push(text);
    const line = this.#rest.join('');
    this.#rest = [];
    this.#length = 0;
    return line;
  }
}
