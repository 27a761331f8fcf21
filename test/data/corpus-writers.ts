/** Writes the same documents in each format, for tests. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import xxhash from 'xxhash-wasm';
import type { ReadOptions } from '../../lib/data/read/inputs.js';

/** A zstd frame (RFC 8878) of blocks that hold their bytes as they are, with the checksum of its content. */
export async function storedZstd(content: Uint8Array): Promise<Buffer> {
  const { create64 } = await xxhash();
  const parts = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x38])]; // a checksum; a window of 128 KiB
  const most = 1 << 17;
  for (let start = 0; start === 0 || start < content.length; start += most) {
    const block = content.subarray(start, start + most);
    const isLast = start + most >= content.length;
    const header = Buffer.alloc(3);
    header.writeUIntLE((block.length << 3) | Number(isLast), 0, 3);
    parts.push(header, Buffer.from(block));
  }
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32LE(Number(create64().update(content).digest() & 0xffffffffn));
  return Buffer.concat([...parts, checksum]);
}

export interface ParquetOptions {
  readonly columnData: readonly { readonly name: string; readonly data: readonly unknown[]; readonly type?: string }[];
  /** Where columns are nested. */
  readonly schema?: readonly object[];
  readonly rowGroupSize?: number;
  readonly codec?: string;
}

/** A Parquet file by hyparquet-writer. */
export function parquetFile(options: ParquetOptions): Uint8Array {
  const script = fileURLToPath(new URL('./write-parquet.mjs', import.meta.url));
  const { NODE_OPTIONS: _, ...env } = process.env;
  return execFileSync(process.execPath, [script], { input: JSON.stringify(options), env, maxBuffer: 2 ** 28 });
}

const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
const titleOf = (text: string): string => text.slice(0, text.indexOf('\n'));
const licence = 'The Project Gutenberg eBook of a test\n\nThis eBook is for the use of anyone anywhere.\n\n';

export interface WrittenFormat {
  readonly name: string;
  readonly files: (documents: readonly string[]) => Record<string, string | Uint8Array>;
  /** Options for reading them. */
  readonly options?: ReadOptions;
  readonly packable?: boolean;
}

/**
 * Each format, and how documents look in it. Documents have a title as their first line and end with a line feed. Names
 * begin with an underscore where a folder does not give them by itself.
 */
export const writtenFormats: readonly WrittenFormat[] = [
  {
    name: 'text files',
    packable: true,
    files: (documents) =>
      Object.fromEntries(documents.map((text, i) => [`part-${String(i).padStart(4, '0')}.txt`, text])),
  },
  {
    name: 'wiki blocks',
    packable: true,
    files: (documents) => ({
      wiki_00: documents.map((text, i) => `<doc id="${i}" title="${titleOf(text)}">\n${text}</doc>\n`).join(''),
    }),
  },
  {
    name: 'wiki JSON with titles in the text',
    packable: true,
    files: (documents) => ({
      wiki_00: documents
        .map((text, i) => `${JSON.stringify({ id: String(i), url: 'u', title: titleOf(text), text })}\n`)
        .join(''),
    }),
  },
  {
    name: 'wiki JSON without titles in the text',
    packable: true,
    files: (documents) => ({
      wiki_00: documents
        .map((text, i) => {
          const title = titleOf(text);
          return `${JSON.stringify({ id: String(i), revid: '7', url: 'u', title, text: text.slice(title.length + 2) })}\n`;
        })
        .join(''),
    }),
  },
  {
    name: 'Gutenberg books in one file',
    packable: true,
    files: (documents) => ({
      'books.txt': documents
        .map(
          (text, i) =>
            `${licence}*** START OF THE PROJECT GUTENBERG EBOOK ${i} ***\n\n\n${text}\n\nEnd of the Project Gutenberg EBook\n\n` +
            `*** END OF THE PROJECT GUTENBERG EBOOK ${i} ***\n\nTo learn more, see the licence.\n\n`,
        )
        .join(''),
    }),
  },
  {
    name: 'JSON lines',
    packable: true,
    files: (documents) => ({ 'a.jsonl': documents.map((text) => `${JSON.stringify({ text, n: 1 })}\n`).join('\n') }),
  },
  {
    name: 'JSON lines with a field inside of another',
    packable: true,
    files: (documents) => ({
      'a.ndjson': documents.map((content) => JSON.stringify({ meta: { content } })).join('\r\n'),
    }),
    options: { field: 'meta.content' },
  },
  {
    name: 'CSV by name',
    packable: true,
    files: (documents) => ({
      'a.csv': `id,text\n${documents.map((text, i) => `${i},${quoted(text)}\n`).join('')}`,
    }),
    options: { format: 'csv' },
  },
  {
    name: 'CSV by number, without a header',
    packable: true,
    files: (documents) => ({ 'a.csv': documents.map((text, i) => `${i},${quoted(text)},x`).join('\r\n') }),
    options: { format: 'csv', field: 2, header: false },
  },
  {
    name: 'TSV with quotes',
    packable: true,
    files: (documents) => ({
      'a.tsv': `body\tlabel\n${documents.map((text) => `${quoted(text)}\t1\n`).join('')}`,
    }),
    options: { format: 'tsv', field: 'body', quotes: true },
  },
  ...(['UNCOMPRESSED', 'SNAPPY', undefined] as const).map((codec): WrittenFormat => {
    return {
      name: `Parquet, ${codec ?? 'default codec'}`,
      files: (documents) => ({
        'a.parquet': parquetFile({
          columnData: [
            { name: 'n', data: documents.map((_, i) => i), type: 'INT32' },
            { name: 'text', data: [...documents], type: 'STRING' },
          ],
          rowGroupSize: 3,
          ...(codec && { codec }),
        }),
      }),
    };
  }),
];

/** The packings of text formats, by the end of the name. */
export const pack: Readonly<Record<string, (content: Uint8Array) => Uint8Array | Promise<Uint8Array>>> = {
  '': (content) => content,
  '.gz': (content) => gzipSync(content),
  '.zst': storedZstd,
};

/** Writes a format's files below a folder. */
export async function writeFormat(
  folder: string,
  format: WrittenFormat,
  documents: readonly string[],
  ending = '',
): Promise<void> {
  for (const [name, content] of Object.entries(format.files(documents))) {
    const path = join(folder, name + ending);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, await pack[ending]!(typeof content === 'string' ? Buffer.from(content) : content));
  }
}
