/**
 * Parquet: one column is the documents, or a field inside of a column of structs (`meta.text`). One row group of that
 * column is held at a time.
 */
import { type FileHandle, open } from 'node:fs/promises';
import {
  type AsyncBuffer,
  type FileMetaData,
  parquetMetadataAsync,
  parquetRead,
  parquetSchema,
  type SchemaTree,
} from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { ApolloError } from '../../errors.js';
import { throwIfAborted } from '../abort.js';
import type { DocumentPiece } from '../pieces.js';
import type { Format, FormatInput, RecordOptions } from './format.js';
import { defaultField, type Fields, missingField, TextField, valueAt } from './records.js';

export const parquet: Format = {
  name: 'parquet',
  endings: ['.parquet', '.pq'],
  takes: (name, packed) => !packed && /\.(parquet|pq)$/i.test(name),
  packable: false,
  hasRecords: true,
  check,
  read,
};

function check(path: string, { field }: RecordOptions): void {
  if (typeof field !== 'number') return;
  throw new ApolloError('BAD_CONFIG', `${path}: columns of Parquet have names; got the number ${field}.`);
}

async function* read(input: FormatInput): AsyncGenerator<DocumentPiece> {
  const { path, sizeBytes, signal } = input;
  check(path, input.options);
  const field = String(input.options.field ?? defaultField);
  const handle = await open(path);
  try {
    const file = {
      byteLength: sizeBytes,
      slice: (start: number, end?: number) => slice(handle, start, end ?? sizeBytes),
    };
    const metadata = await metadataOf(file, path);
    const column = columnFor(metadata, field, path);
    const text = new TextField(input, field, 'column');
    let row = 0;
    let told = 0;
    for (const [index, group] of metadata.row_groups.entries()) {
      throwIfAborted(signal);
      const rows = Number(group.num_rows);
      const values = await columnOf({ file, metadata, column, rowStart: row, rowEnd: row + rows }).catch((error) => {
        const place = `row group ${index + 1} of ${metadata.row_groups.length} (rows ${row} to ${row + rows - 1})`;
        throw bad(`${path}: column "${field}" of ${place} cannot be read: ${(error as Error).message}`, error);
      });
      if (values.length !== rows)
        throw bad(`${path}: row group ${index + 1} should have ${rows} rows and has ${values.length}`);
      for (const [i, value] of values.entries()) {
        const found = column === field ? value : valueAt({ [column]: value } as Fields, field);
        yield* text.document(found ?? null, `row ${row + i}`, () => namesOf(metadata));
      }
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
  const paths = (tree: SchemaTree, before: string): string[] => {
    const path = before + tree.element.name;
    return isStruct(tree) ? tree.children.flatMap((child) => paths(child, `${path}.`)) : [path];
  };
  return parquetSchema(metadata).children.flatMap((child) => paths(child, ''));
}

/** Whether a column holds one record of fields; lists and maps repeat. */
function isStruct({ children, element }: SchemaTree): boolean {
  return (
    children.length > 0 &&
    element.repetition_type !== 'REPEATED' &&
    element.converted_type !== 'LIST' &&
    element.converted_type !== 'MAP' &&
    children.every((child) => child.element.repetition_type !== 'REPEATED')
  );
}

/** The column of a name, or of a path into structs. */
function find(columns: readonly SchemaTree[], field: string): SchemaTree | undefined {
  const whole = columns.find(({ element }) => element.name === field);
  if (whole !== undefined) return whole;
  for (const column of columns) {
    const name = column.element.name;
    if (!field.startsWith(`${name}.`) || !isStruct(column)) continue;
    const inner = find(column.children, field.slice(name.length + 1));
    if (inner !== undefined) return inner;
  }
  return undefined;
}

/**
 * The column to read for a field.
 * @throws ApolloError BAD_CORPUS unless the field is there and holds text.
 */
function columnFor(metadata: FileMetaData, field: string, path: string): string {
  const columns = parquetSchema(metadata).children;
  const found = find(columns, field);
  if (found === undefined) throw missingField(path, 'the file', 'column', field, namesOf(metadata));
  const { type, logical_type, converted_type } = found.element;
  if (found.children.length > 0 || type !== 'BYTE_ARRAY' || (logical_type && logical_type.type !== 'STRING')) {
    const kind = found.children.length > 0 ? 'nested' : (logical_type?.type ?? converted_type ?? type);
    throw bad(
      `${path}: the column "${field}" is ${kind}, not text. Name another with --field (it has ${namesOf(metadata).join(', ')})`,
    );
  }
  return found.path[0]!;
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
