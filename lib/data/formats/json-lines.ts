/** JSON lines: one object a line, one of its fields is the document. `meta.text` is the field text inside of meta. */
import { ApolloError } from '../../errors.js';
import { LineSplitter } from '../lines.js';
import type { DocumentPiece } from '../pieces.js';
import { type Format, type FormatInput, type Splitter, splitText } from './format.js';
import { defaultField, TextField } from './records.js';

export const jsonLines: Format = {
  name: 'jsonl',
  endings: ['.jsonl', '.ndjson'],
  takes: (name, _, asked) => (asked ? /\.(jsonl?|ndjson)$/i : /\.(jsonl|ndjson)$/i).test(name),
  packable: true,
  hasRecords: true,
  read: (input) => splitText(input, new JsonRecords(input)),
};

type JsonObject = Readonly<Record<string, unknown>>;

export class JsonRecords implements Splitter {
  readonly #lines: LineSplitter;
  readonly #field: TextField;

  /** `complete` makes the document from the record and its text. */
  constructor(
    readonly input: Pick<FormatInput, 'path' | 'options' | 'onSkip'>,
    readonly complete: (record: JsonObject, text: string) => string = (_, text) => text,
  ) {
    const { field = defaultField } = input.options;
    if (typeof field === 'number')
      throw new ApolloError('BAD_CONFIG', `${input.path}: fields of JSON lines have names; got the number ${field}.`);
    this.#lines = new LineSplitter(input.path);
    this.#field = new TextField(input, field, 'field');
  }

  *add(text: string): Iterable<DocumentPiece> {
    for (const line of this.#lines.add(text)) yield* this.#take(line);
  }

  *end(): Iterable<DocumentPiece> {
    for (const line of this.#lines.end()) yield* this.#take(line);
  }

  *#take(line: string): Iterable<DocumentPiece> {
    if (line.trim() === '') return;
    const place = `line ${this.#lines.number}`;
    let record: unknown;
    try {
      record = JSON.parse(line);
    } catch (error) {
      throw this.#bad(`${place} is not JSON: ${(error as Error).message}`);
    }
    if (typeof record !== 'object' || record === null || Array.isArray(record)) {
      const kind = record === null ? 'null' : Array.isArray(record) ? 'a list' : `a ${typeof record}`;
      throw this.#bad(`${place} holds ${kind}; expected an object of fields on each line`);
    }
    const value = valueAt(record as JsonObject, this.#field.field);
    const text = typeof value === 'string' ? this.complete(record as JsonObject, value) : value;
    yield* this.#field.document(text, place, () => Object.keys(record as JsonObject));
  }

  #bad(reason: string): ApolloError {
    return new ApolloError('BAD_CORPUS', `${this.input.path}: ${reason}.`);
  }
}

/** The field by its name, or else by its path. */
function valueAt(record: JsonObject, field: string): unknown {
  if (Object.hasOwn(record, field)) return record[field];
  let value: unknown = record;
  for (const name of field.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as JsonObject)[name];
  }
  return value;
}
