/** Parquet: one column is the documents. One row group of that column is held at a time. */
import { type FileHandle, open } from 'node:fs/promises';
import { type AsyncBuffer, type FileMetaData, parquetMetadataAsync, parquetRead, parquetSchema } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { ApolloError } from '../../errors.js';
import { throwIfAborted } from '../abort.js';
import type { DocumentPiece } from '../pieces.js';
import type { Format, FormatInput } from './format.js';
import { defaultField, missingField, TextField } from './records.js';

export const parquet: Format = {
  name: 'parquet',
  endings: ['.parquet', '.pq'],
  takes: (name, packed) => !packed && /\.(parquet|pq)$/i.test(name),
  packable: false,
  hasRecords: true,
  read,
};

async function* read(input: FormatInput): AsyncGenerator<DocumentPiece> {
  const { path, sizeBytes, signal } = input;
  const { field = defaultField } = input.options;
  if (typeof field === 'number')
    throw new ApolloError('BAD_CONFIG', `${path}: columns of Parquet have names; got the number ${field}.`);
  const handle = await open(path);
  try {
    const file = {
      byteLength: sizeBytes,
      slice: (start: number, end?: number) => slice(handle, start, end ?? sizeBytes),
    };
    const metadata = await metadataOf(file, path);
    checkColumn(metadata, field, path);
    const text = new TextField(input, field, 'column');
    let row = 0;
    let told = 0;
    for (const [index, group] of metadata.row_groups.entries()) {
      throwIfAborted(signal);
      const rows = Number(group.num_rows);
      const values = await columnOf({ file, metadata, column: field, rowStart: row, rowEnd: row + rows }).catch(
        (error) => {
          const place = `row group ${index + 1} of ${metadata.row_groups.length} (rows ${row} to ${row + rows - 1})`;
          throw bad(`${path}: column "${field}" of ${place} cannot be read: ${(error as Error).message}`, error);
        },
      );
      if (values.length !== rows)
        throw bad(`${path}: row group ${index + 1} should have ${rows} rows and has ${values.length}`);
      for (const [i, value] of values.entries()) yield* text.document(value, `row ${row + i}`, () => namesOf(metadata));
      row += rows;
      const read = Math.round((sizeBytes * (index + 1)) / metadata.row_groups.length);
      input.onBytes(read - told);
      told = read;
    }
    input.onBytes(sizeBytes - told);
  } finally {
    await handle.close();
  }
}

interface ColumnRange {
  readonly file: AsyncBuffer;
  readonly metadata: FileMetaData;
  readonly column: string;
  readonly rowStart: number;
  readonly rowEnd: number;
}

/** Values of some rows: text, or null. */
async function columnOf({ column, ...range }: ColumnRange): Promise<unknown[]> {
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const stringFromBytes = (bytes: Uint8Array | undefined): string | undefined => {
    try {
      return bytes && utf8.decode(bytes);
    } catch {
      throw new Error('a value is not UTF-8');
    }
  };
  let values: unknown[] = [];
  await parquetRead({
    ...range,
    columns: [column],
    compressors,
    parsers: { stringFromBytes },
    onComplete: (rows) => {
      values = rows.map(([value]) => value as unknown);
    },
  });
  return values;
}

async function metadataOf(file: AsyncBuffer, path: string): Promise<FileMetaData> {
  if (file.byteLength < 12) throw bad(`${path} is too short for a Parquet file (${file.byteLength} bytes)`);
  const end = new Uint8Array(await file.slice(file.byteLength - 4, file.byteLength));
  if (Buffer.from(end).toString('latin1') !== 'PAR1')
    throw bad(`${path} begins as a Parquet file and does not end as one. It was cut off; copy it again`);
  try {
    return await parquetMetadataAsync(file);
  } catch (error) {
    throw bad(`${path}: its Parquet footer cannot be read: ${(error as Error).message}`, error);
  }
}

function namesOf(metadata: FileMetaData): string[] {
  return parquetSchema(metadata).children.map(({ element }) => element.name);
}

/** @throws ApolloError BAD_CORPUS unless the column is there and holds text. */
function checkColumn(metadata: FileMetaData, column: string, path: string): void {
  const found = parquetSchema(metadata).children.find(({ element }) => element.name === column);
  if (found === undefined) throw missingField(path, 'the file', 'column', column, namesOf(metadata));
  const { type, logical_type, converted_type } = found.element;
  if (found.children.length > 0 || type !== 'BYTE_ARRAY' || (logical_type && logical_type.type !== 'STRING')) {
    const kind = found.children.length > 0 ? 'nested' : (logical_type?.type ?? converted_type ?? type);
    throw bad(
      `${path}: the column "${column}" is ${kind}, not text. Name another with --field (it has ${namesOf(metadata).join(', ')})`,
    );
  }
}

async function slice(handle: FileHandle, start: number, end: number): Promise<ArrayBuffer> {
  const bytes = new Uint8Array(Math.max(0, end - start));
  for (let done = 0; done < bytes.length; ) {
    const { bytesRead } = await handle.read(bytes, done, bytes.length - done, start + done);
    if (bytesRead === 0) throw new Error(`the file ends at byte ${start + done}, and bytes to ${end} belong to it`);
    done += bytesRead;
  }
  return bytes.buffer;
}

function bad(message: string, cause?: unknown): ApolloError {
  return new ApolloError('BAD_CORPUS', `${message}.`, { cause });
}
