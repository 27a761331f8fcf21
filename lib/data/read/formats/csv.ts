/** CSV and TSV: a record a row, one of its columns is the document. */
import { Readable } from 'node:stream';
import { CsvError, parse } from 'csv-parse';
import { ApolloError } from '../../../errors.js';
import { longestLine } from '../lines.js';
import type { DocumentPiece } from '../pieces.js';
import type { Format, FormatInput, RecordOptions } from './format.js';
import { defaultField, missingField, TextField } from './records.js';

/** Tables in a folder are often lists of its files, so they are taken only when asked for. */
const common = { packable: true, reads: ['field', 'header', 'quotes'], check } as const;

export const csv: Format = {
  ...common,
  name: 'csv',
  endings: ['.csv'],
  takes: (name, _, asked) => asked && /\.csv$/i.test(name),
  read: (input) => rows(input, ',', true),
};
export const tsv: Format = {
  ...common,
  name: 'tsv',
  endings: ['.tsv', '.tab'],
  takes: (name, _, asked) => asked && /\.(tsv|tab)$/i.test(name),
  read: (input) => rows(input, '\t', false),
};

/** Each row has an end of its own, as for Python's csv and pandas: files are put together from parts. */
const lineEnds = ['\r\n', '\n', '\r'];

function check(path: string, { field = defaultField, header = true }: RecordOptions): void {
  if (header || typeof field === 'number') return;
  throw new ApolloError(
    'BAD_CONFIG',
    `${path}: without a header, a column is known by its number (from 1); got ${JSON.stringify(field)}. Give it with --field.`,
  );
}

async function* rows(input: FormatInput, delimiter: string, quoted: boolean): AsyncGenerator<DocumentPiece> {
  const { path } = input;
  const { field = defaultField, header = true, quotes = quoted } = input.options;
  check(path, input.options);
  const text = new TextField(input, String(field), 'column');
  const source = Readable.from(input.text());
  let line = 0; // of the end of the record that was read last
  const parser = parse({
    delimiter,
    record_delimiter: lineEnds,
    quote: quotes ? '"' : null,
    escape: quotes ? '"' : null,
    skip_empty_lines: true,
    max_record_size: longestLine,
    info: true,
    on_record(record, { lines }) {
      line = lines;
      return record;
    },
  });
  source.on('error', (error) => parser.destroy(error)).pipe(parser);
  let column = typeof field === 'number' ? field - 1 : undefined;
  let names: readonly string[] | undefined;
  try {
    for await (const { record, info } of parser as AsyncIterable<{ record: string[]; info: { lines: number } }>) {
      const place = `line ${info.lines}`;
      if (names === undefined) {
        names = header ? record : record.map((_, i) => String(i + 1));
        column ??= record.indexOf(String(field));
        if (column < 0 || column >= record.length) throw missingField(path, place, 'column', field, names);
        if (header) continue;
      }
      yield* text.document(record[column!], place, () => names!);
    }
  } catch (error) {
    throw error instanceof CsvError ? explain(error, path, quotes, line + 1) : error;
  } finally {
    source.destroy();
    parser.destroy();
  }
}

/** `begins`: the first line of the record that could not be read. */
function explain(error: CsvError, path: string, quotes: boolean, begins: number): ApolloError {
  const hint = quotes ? ' If quotes are ordinary characters in this file, give --no-quotes.' : '';
  const { code, message, lines } = error as CsvError & { readonly lines?: number };
  const reason = {
    CSV_QUOTE_NOT_CLOSED: `the record that starts at line ${begins} has an unclosed quote.${hint}`,
    CSV_INVALID_CLOSING_QUOTE: `line ${lines}: text follows the quote that ends a field (${message}).${hint}`,
    INVALID_OPENING_QUOTE: `line ${lines}: a field that does not start with a quote contains one.${hint}`,
    CSV_RECORD_INCONSISTENT_FIELDS_LENGTH: `line ${lines} does not have as many columns as the first (${message}).${hint}`,
    CSV_MAX_RECORD_SIZE: `the record that starts at line ${begins} is longer than ${longestLine} characters; is a quote not closed?${hint}`,
  }[code as string];
  return new ApolloError('BAD_CORPUS', `${path}: ${reason ?? `${message}.`}`, { cause: error });
}
