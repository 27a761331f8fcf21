/**
 * Parquet: one column is the documents, or a field inside of a column of structs (`meta.text`). One row group of that
 * column is held at a time.
 */
import { ApolloError } from '../../../errors.js';
import { AskedThread } from '../asked-thread.js';
import type { DocumentPiece } from '../pieces.js';
import type { Format, FormatInput, RecordOptions } from './format.js';
import type { ParquetContents } from './parquet-reader.js';
import { defaultField, type Fields, TextField, valueAt } from './records.js';

export const parquet: Format = {
  name: 'parquet',
  endings: ['.parquet', '.pq'],
  takes: (name, packed) => !packed && /\.(parquet|pq)$/i.test(name),
  packable: false,
  reads: ['field'],
  check,
  read,
};

function check(path: string, { field }: RecordOptions): void {
  if (typeof field !== 'number') return;
  throw new ApolloError('BAD_CONFIG', `${path}: columns of Parquet have names; got the number ${field}.`);
}

/** Start data of the thread and its questions: the contents, or the values of a row group. */
export interface ParquetSource {
  readonly path: string;
  readonly sizeBytes: number;
  readonly field: string;
}
export type ParquetQuestion = 'contents' | { readonly group: number };

/** Milliseconds for an answer: a minute, and one for each 60 MB of values, a fiftieth of the usual speed. */
const patienceMs = (bytes: number): number => 60e3 + Math.min(Math.max(0, bytes), 2 ** 30) / 1e3;

async function* read(input: FormatInput): AsyncGenerator<DocumentPiece> {
  const { path, sizeBytes, signal } = input;
  check(path, input.options);
  const field = String(input.options.field ?? defaultField);
  const source: ParquetSource = { path, sizeBytes, field };
  const thread = new AskedThread<ParquetQuestion>('formats/parquet-worker', source);
  const ask = async (question: ParquetQuestion, what: string, bytes: number) => {
    const limitMs = patienceMs(bytes);
    const answer = await thread.ask(question, { limitMs, signal });
    if (answer.kind === 'value') return answer.value;
    const reason =
      answer.kind === 'late'
        ? `took more than ${Math.round(limitMs / 1e3)} seconds`
        : `ended its reader (${answer.reason})`;
    throw new ApolloError(
      'BAD_CORPUS',
      `${path}: ${what} ${reason}, so the file is damaged. Copy it again, or leave it out.`,
    );
  };
  try {
    const { column, names, groups } = (await ask('contents', 'its Parquet footer', 0)) as ParquetContents;
    const text = new TextField(input, field, 'column');
    let row = 0;
    let told = 0;
    for (const [index, { bytes }] of groups.entries()) {
      const values = (await ask({ group: index }, `row group ${index + 1} of ${groups.length}`, bytes)) as unknown[];
      for (const [i, value] of values.entries()) {
        const found = column === field ? value : valueAt({ [column]: value } as Fields, field);
        yield* text.document(found ?? null, `row ${row + i}`, () => [...names]);
      }
      row += values.length;
      const read = Math.round((sizeBytes * (index + 1)) / groups.length);
      input.onBytes(read - told);
      told = read;
    }
    input.onBytes(sizeBytes - told);
  } finally {
    await thread.end();
  }
}
