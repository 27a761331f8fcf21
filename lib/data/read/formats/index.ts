/** The formats of corpora. A new one is a file next to this and a line here. */
import { csv, tsv } from './csv.js';
import type { Format } from './format.js';
import { gutenberg } from './gutenberg.js';
import { jsonLines } from './json-lines.js';
import { parquet } from './parquet.js';
import { auto, text } from './text.js';
import { wiki } from './wiki.js';

export const formats: readonly Format[] = [auto, text, wiki, gutenberg, jsonLines, csv, tsv, parquet];

/**
 * The formats of text files by name, as `--format` and the option `format` take them.
 * @example
 * formatNames.includes('jsonl')
 */
export const formatNames: readonly string[] = formats.map(({ name }) => name);

export type { Format, FormatInput, RecordOptions } from './format.js';
