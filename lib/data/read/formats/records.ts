/** Records of which one field is the text: what counts as a document, what is skipped, what is an error. */
import { ApolloError } from '../../../errors.js';
import { type DocumentPiece, piecesOf } from '../pieces.js';
import type { FormatInput } from './format.js';

export const defaultField = 'text';

export type Fields = Readonly<Record<string, unknown>>;

/** The field by its name, or else by its path: `meta.text` is text inside of meta. Undefined where there is none. */
export function valueAt(record: Fields, field: string): unknown {
  if (Object.hasOwn(record, field)) return record[field];
  for (let dot = field.indexOf('.'); dot >= 0; dot = field.indexOf('.', dot + 1)) {
    const name = field.slice(0, dot);
    if (!Object.hasOwn(record, name)) continue;
    const inner = record[name];
    if (inner === null) return null;
    if (isFields(inner)) return valueAt(inner, field.slice(dot + 1));
  }
  return undefined;
}

/** The paths of a record's fields, those inside of objects too. */
export function pathsOf(record: Fields, before = ''): string[] {
  return Object.entries(record).flatMap(([name, value]) =>
    isFields(value) && before.length < 200 ? pathsOf(value, `${before}${name}.`) : [before + name],
  );
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Takes the field's value out of one record after the other. A first record without the field, or with something other
 * than text in it, means that the wrong one was named, and is an error; later ones are skipped and counted.
 */
export class TextField {
  #isFirst = true;

  constructor(
    readonly input: Pick<FormatInput, 'path' | 'onSkip'>,
    readonly field: string,
    /** How the field is called here: "field" or "column". */
    readonly word: 'field' | 'column',
  ) {}

  /**
   * The document of a record, if it has one. `place` is what errors call the record ("line 3"), `known` its fields.
   * @throws ApolloError BAD_CORPUS when it is the first record and the field is not there or holds no text.
   */
  *document(value: unknown, place: string, known: () => readonly string[]): Iterable<DocumentPiece> {
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    if (typeof value === 'string') {
      yield* piecesOf(value);
      return;
    }
    const { path, onSkip } = this.input;
    const name = JSON.stringify(this.field);
    if (value === undefined) {
      if (isFirst) throw missingField(path, place, this.word, this.field, known());
      onSkip(`no ${this.word} ${name}`);
    } else if (value === null) {
      onSkip(`${name} is null`);
    } else {
      const kind = Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'an object' : `a ${typeof value}`;
      if (isFirst) {
        const others = known().filter((each) => each !== this.field);
        const advice = others.length > 0 ? ` Name another with --field (it has ${list(others)}).` : '';
        throw new ApolloError(
          'BAD_CORPUS',
          `${path}: ${place} has ${kind} as ${this.word} ${name}, not text.${advice}`,
        );
      }
      onSkip(`${name} is ${kind}, not text`);
    }
  }
}

/** The error for a field or column that is not there. */
export function missingField(
  path: string,
  place: string,
  word: 'field' | 'column',
  field: string | number,
  known: readonly string[],
): ApolloError {
  return new ApolloError(
    'BAD_CORPUS',
    `${path}: ${place} has no ${word} ${JSON.stringify(field)}. Name the one with the text with --field (it has ${list(known)}).`,
  );
}

function list(names: readonly string[]): string {
  const shown = names.slice(0, 12).map((name) => JSON.stringify(name.slice(0, 40)));
  return names.length === 0 ? 'none' : shown.join(', ') + (names.length > 12 ? ', …' : '');
}
