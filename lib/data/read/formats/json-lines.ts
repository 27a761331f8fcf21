/**
 * JSON lines: one object a line, one of its fields is the document. `meta.text` is the field text inside of meta. NaN and
 * Infinity, which Python writes, count as null.
 */
import { ApolloError } from '../../../errors.js';
import { parseJson } from '../json.js';
import { LineSplitter } from '../lines.js';
import type { DocumentPiece } from '../pieces.js';
import { type Format, type FormatInput, type RecordOptions, type Splitter, splitText } from './format.js';
import { defaultField, type Fields, pathsOf, TextField, valueAt } from './records.js';

export const jsonLines: Format = {
  name: 'jsonl',
  endings: ['.jsonl', '.ndjson', '.json'],
  // In a folder, .json files are mostly settings.
  takes: (name, _, asked) => (asked ? /\.(jsonl?|ndjson)$/i : /\.(jsonl|ndjson)$/i).test(name),
  packable: true,
  reads: ['field'],
  check,
  read: (input) => splitText(input, new JsonRecords(input)),
};

function check(path: string, { field }: RecordOptions): void {
  if (typeof field !== 'number') return;
  throw new ApolloError('BAD_CONFIG', `${path}: fields of JSON lines have names; got the number ${field}.`);
}

export class JsonRecords implements Splitter {
  readonly #lines: LineSplitter;
  readonly #field: TextField;
  #isFirst = true;

  /** `complete` makes the document from the record and its text. */
  constructor(
    readonly input: Pick<FormatInput, 'path' | 'options' | 'onSkip'>,
    readonly complete: (record: Fields, text: string) => string = (_, text) => text,
  ) {
    const { field = defaultField } = input.options;
    check(input.path, { field });
    this.#lines = new LineSplitter(input.path);
    this.#field = new TextField(input, String(field), 'field');
  }

  *add(text: string): Iterable<DocumentPiece> {
    // Seen before the line ends: all of an array may be one line.
    if (this.#isFirst && this.#lines.isBetween && /^\s*\[/.test(text)) throw this.#array(text);
    for (const line of this.#lines.add(text)) yield* this.#take(line);
  }

  *end(): Iterable<DocumentPiece> {
    for (const line of this.#lines.end()) yield* this.#take(line);
  }

  *#take(line: string): Iterable<DocumentPiece> {
    const start = line.trim();
    if (start === '') return;
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    const place = `line ${this.#lines.number}`;
    if (isFirst && start.startsWith('[')) throw this.#array('');
    let record: unknown;
    try {
      record = parseJson(line);
    } catch (error) {
      const hint = isFirst && start === '{' ? '. Is an object written over several lines? Write each on one line' : '';
      throw this.#bad(`${place} is not JSON: ${(error as Error).message}${hint}`);
    }
    if (typeof record !== 'object' || record === null || Array.isArray(record)) {
      const kind = record === null ? 'null' : Array.isArray(record) ? 'a list' : `a ${typeof record}`;
      throw this.#bad(`${place} holds ${kind}; expected an object of fields on each line`);
    }
    const fields = record as Fields;
    const value = valueAt(fields, this.#field.field);
    const text = typeof value === 'string' ? this.complete(fields, value) : value;
    yield* this.#field.document(text, place, () => pathsOf(fields));
  }

  /** `before`: text in which the array starts; none of its lines was counted yet. */
  #array(before: string): ApolloError {
    const line = before === '' ? this.#lines.number : this.#lines.number + before.split('[', 1)[0]!.split('\n').length;
    return this.#bad(
      `line ${line} holds a list; expected an object of fields on each line. The file is a JSON array, not JSON lines: ` +
        `write its objects one a line, for example with jq -c '.[]'`,
    );
  }

  #bad(reason: string): ApolloError {
    return new ApolloError('BAD_CORPUS', `${this.input.path}: ${reason}.`);
  }
}
