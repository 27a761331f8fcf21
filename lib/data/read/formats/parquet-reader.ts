/**
 * Reads one column of a Parquet file, a row group at a time. parquet-worker.ts runs it in a thread of its own: what damage
 * makes of the library's loops must not hold up the process.
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
import { ApolloError } from '../../../errors.js';
import { missingField } from './records.js';

/** A field's data in a file. */
export interface ParquetContents {
  /** The column that the field is, or is in. */
  readonly column: string;
  /** Names of all fields. */
  readonly names: readonly string[];
  /** Rows and bytes of each row group. */
  readonly groups: readonly { readonly rows: number; readonly bytes: number }[];
}

/** A file that is open for reading. */
export class ParquetReader {
  readonly #path: string;
  readonly #field: string;
  readonly #handle: FileHandle;
  readonly #file: AsyncBuffer;
  readonly #metadata: FileMetaData;
  readonly contents: ParquetContents;

  private constructor(path: string, field: string, handle: FileHandle, file: AsyncBuffer, metadata: FileMetaData) {
    this.#path = path;
    this.#field = field;
    this.#handle = handle;
    this.#file = file;
    this.#metadata = metadata;
    this.contents = {
      column: columnFor(metadata, field, path),
      names: namesOf(metadata),
      groups: metadata.row_groups.map((group) => ({
        rows: Number(group.num_rows),
        bytes: Number(group.total_byte_size),
      })),
    };
  }

  /** @throws ApolloError BAD_CORPUS for a file that is no Parquet file, or has no text in a column or field of that name. */
  static async open(path: string, sizeBytes: number, field: string): Promise<ParquetReader> {
    const handle = await open(path);
    try {
      const file = {
        byteLength: sizeBytes,
        slice: (start: number, end?: number) => slice(handle, start, end ?? sizeBytes),
      };
      return new ParquetReader(path, field, handle, file, await metadataOf(file, path));
    } catch (error) {
      await handle.close();
      if (error instanceof ApolloError) throw error;
      // A footer that was read and is inconsistent, such as a schema with fewer columns than it declares.
      throw bad(`${path}: its Parquet footer contradicts itself (${(error as Error).message})`, error);
    }
  }

  /**
   * The column's values in a row group: text, a record where the field is inside of the column, or null.
   * @throws ApolloError BAD_CORPUS when they cannot be read.
   */
  async group(index: number): Promise<unknown[]> {
    const { column, groups } = this.contents;
    const rows = groups[index]!.rows;
    const rowStart = groups.slice(0, index).reduce((sum, group) => sum + group.rows, 0);
    const range = { file: this.#file, metadata: this.#metadata, column, rowStart, rowEnd: rowStart + rows };
    const values = await columnOf(range).catch((error: unknown) => {
      const place = `row group ${index + 1} of ${groups.length} (rows ${rowStart} to ${rowStart + rows - 1})`;
      const reason = (error as Error).message;
      throw bad(`${this.#path}: column "${this.#field}" of ${place} cannot be read: ${reason}`, error);
    });
    if (values.length !== rows)
      throw bad(`${this.#path}: row group ${index + 1} should have ${rows} rows and has ${values.length}`);
    return values;
  }

  close(): Promise<void> {
    return this.#handle.close();
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
    throw bad(`${path} starts as a Parquet file but does not end as one. It is truncated; copy it again`);
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
