/**
 * Files in GLUE's own layout: tab-separated UTF-8 without any quoting, perhaps with a byte order mark, perhaps packed
 * (NAME.tsv.gz or NAME.tsv.zst next to or instead of NAME.tsv). What is wrong is reported with file and line.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DamagedPacking, packings, unpackWhole } from '../../../data/read/unpack/index.js';
import { ApolloError } from '../../../errors.js';

/** A column by its name in the header, or by its place (from 0) in a file without one. */
export type Column = string | number;

export interface Row<Name extends string> {
  /** In the file, from 1. */
  readonly line: number;
  readonly values: Readonly<Record<Name, string>>;
}

export interface Table<Name extends string> {
  readonly path: string;
  readonly rows: readonly Row<Name>[];
  /** Lines that had too few columns and were left out. */
  readonly incomplete: number;
}

const bad = (message: string, cause?: unknown): ApolloError =>
  new ApolloError('BAD_CORPUS', message, cause === undefined ? undefined : { cause });

/** The file called `name` in `folder`, plain or packed; undefined when there is none. */
export function findTable(folder: string, name: string): string | undefined {
  const endings = ['', ...packings.map(({ ending }) => ending)];
  return endings.map((ending) => join(folder, `${name}.tsv${ending}`)).find((path) => existsSync(path));
}

/** The text of a file, unpacked where it is packed. @throws ApolloError BAD_CORPUS. */
async function readText(path: string): Promise<string> {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await unpackWhole(await readFile(path))); // takes a byte order mark away
  } catch (error) {
    if (error instanceof DamagedPacking) throw bad(`${path} ${error.message}`, error);
    throw bad(`${path} cannot be read as text (${(error as Error).message}).`, error);
  }
}

/**
 * The wanted columns of a table. With names the first line is the header; with numbers there is none.
 * @throws ApolloError BAD_CORPUS for a file that is no text or empty, a header without a wanted column, and a line with too
 * few columns (unless those are skipped).
 */
export async function readTable<Name extends string>(
  path: string,
  columns: Readonly<Record<Name, Column>>,
  options: {
    readonly skipIncomplete?: boolean;
    /** What to do about a file without a column, by its name; default: that the official download has it. */
    readonly advice?: Readonly<Partial<Record<Name, string>>>;
  } = {},
): Promise<Table<Name>> {
  const lines = (await readText(path)).split('\n').map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  while (lines.at(-1) === '') lines.pop();
  const names = Object.keys(columns) as Name[];
  const hasHeader = names.some((name) => typeof columns[name] === 'string');
  const header = hasHeader ? (lines[0] ?? '').split('\t') : [];
  const places = names.map((name) => {
    const column = columns[name];
    if (typeof column === 'number') return column;
    const place = header.indexOf(column);
    if (place >= 0) return place;
    throw bad(
      `${path}: there is no column "${column}" in its header (${header.join(', ') || 'an empty file'}). ` +
        (options.advice?.[name] ?? `${basename(path)} of this task's official download has it.`),
    );
  });
  const needed = Math.max(header.length, ...places.map((place) => place + 1));
  const rows: Row<Name>[] = [];
  let incomplete = 0;
  for (let index = hasHeader ? 1 : 0; index < lines.length; index++) {
    const cells = (lines[index] as string).split('\t');
    if (cells.length < needed) {
      if (!options.skipIncomplete) {
        throw bad(`${path}, line ${index + 1}: ${cells.length} columns; expected ${needed}, separated by tabs.`);
      }
      incomplete++;
      continue;
    }
    const values = Object.fromEntries(names.map((name, i) => [name, cells[places[i] as number]]));
    rows.push({ line: index + 1, values: values as Record<Name, string> });
  }
  if (rows.length === 0) throw bad(`${path} holds no examples.`);
  return { path, rows, incomplete };
}
