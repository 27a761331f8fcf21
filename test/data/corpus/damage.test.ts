/** Damaged input: each kind has one message that names the file and the place, and nothing is left of the attempt. */
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { prepareCorpus } from '../../../lib/data/corpus/prepare.js';
import type { ReadOptions } from '../../../lib/data/read/inputs.js';
import { parquetFile, storedZstd } from '../corpus-writers.js';
import { failure, fixture } from '../support.js';

const text = 'A text that is long enough to be cut. '.repeat(200);
const packed = gzipSync(text);
const stored = await storedZstd(Buffer.from(text));
const compressed = readFileSync(fixture('corpora/typhoon.txt.zst'));
const parquet = parquetFile({
  columnData: [
    { name: 'id', data: [1, 2, 3], type: 'INT32' },
    { name: 'text', data: ['one', 'two', 'three '.repeat(100)], type: 'STRING' },
  ],
  codec: 'SNAPPY',
});
const badUtf8 = parquetFile({
  columnData: [{ name: 'text', data: ['plain', 'word', 'WORDS'], type: 'STRING' }],
  codec: 'UNCOMPRESSED',
});

/** The bytes with those at `place` replaced. */
function changed(bytes: Uint8Array, place: number, ...values: number[]): Buffer {
  const copy = Buffer.from(bytes);
  copy.set(values, place < 0 ? copy.length + place : place);
  return copy;
}

const jsonl = (...records: unknown[]): string => records.map((record) => `${JSON.stringify(record)}\n`).join('');

interface Damage {
  readonly name: string;
  readonly content: string | Uint8Array;
  readonly message: RegExp;
  readonly options?: ReadOptions;
  readonly code?: string;
}

const damages: readonly Damage[] = [
  {
    name: 'cut.txt.gz',
    content: packed.subarray(0, -20),
    message: /ends before its gzip data does\. The file was cut off/,
  },
  {
    name: 'checksum.txt.gz',
    content: changed(packed, -6, 0),
    message: /damaged gzip data \(incorrect data check\) at or before byte \d+/,
  },
  { name: 'tail.txt.gz', content: Buffer.concat([packed, Buffer.from([0x1f, 0x8b, 1])]), message: /gzip data/ },
  {
    name: 'garbage.txt.gz',
    content: Buffer.concat([packed, packed, Buffer.from('garbage')]),
    message: new RegExp(`contains other data after its gzip data, from byte ${2 * packed.length} on\\. Remove it`),
  },
  { name: 'plain.txt.gz', content: 'plain text', message: /is named \.gz and does not hold gzip data/ },
  { name: 'packed.txt', content: packed, message: /holds gzip data\. Name it .*packed\.txt\.gz, or unpack it/ },
  {
    name: 'cut.jsonl.zst',
    content: compressed.subarray(0, 30_000),
    message: /ends before its zstd data does \(at byte 30000\)/,
  },
  { name: 'no-checksum.txt.zst', content: stored.subarray(0, -4), message: /ends before its zstd data does/ },
  {
    name: 'checksum.txt.zst',
    content: changed(stored, 40, 0x58),
    message: /damaged zstd data at byte \d+ \(the checksum of a frame is another\)/,
  },
  {
    name: 'block.txt.zst',
    content: changed(stored, 6, 0xff, 0xff, 0xff),
    message: /damaged zstd data at byte 6 \(a block has no such kind or size\)/,
  },
  {
    name: 'body.txt.zst',
    content: changed(compressed, 5_000, ...Array<number>(64).fill(0xff)),
    message: /damaged zstd data at byte \d+/,
  },
  {
    name: 'after.txt.zst',
    content: Buffer.concat([stored, Buffer.from('no frame')]),
    message: /damaged zstd data at byte \d+ \(no frame begins\)/,
  },
  {
    name: 'window.txt.zst',
    content: changed(stored, 5, 0x98),
    message: /needs a zstd window of 536870912 bytes, and at most 134217728/,
  },
  {
    name: 'dictionary.txt.zst',
    content: changed(stored, 4, 0x05, 0x38, 9),
    message: /packed by zstd with a dictionary/,
  },
  { name: 'plain.txt.zst', content: 'plain text', message: /is named \.zst and does not hold zstd data/ },
  { name: 'packed-too.txt', content: stored, message: /holds zstd data\. Name it .*\.zst/ },
  { name: 'latin1.txt', content: Buffer.from([0x61, 0xe9, 0x61]), message: /is not UTF-8: byte 1 does not fit/ },
  {
    name: 'latin1.jsonl.gz',
    content: gzipSync(Buffer.from([0x61, 0x62, 0xe9, 0x61])),
    message: /is not UTF-8: byte 2 of the unpacked text/,
  },
  {
    name: 'half.txt',
    content: Buffer.from('café').subarray(0, 4),
    message: /ends inside a UTF-8 character that starts at byte 3/,
  },
  { name: 'binary.txt', content: Buffer.from([0x61, 0, 1, 2]), message: /has a zero byte at byte 1, so it is binary/ },
  { name: 'archive.txt', content: 'PK\x03\x04rest', message: /is a zip archive\. Unpack it first/ },
  { name: 'bzip.txt', content: 'BZh91AY', message: /compressed with bzip2, which is not supported/ },
  { name: 'columns.txt', content: parquet, message: /holds Parquet data\. Name it \.parquet/ },
  {
    name: 'document.docx',
    content: 'words',
    message: /no format is known by the ending "\.docx"\. Give one with format \(--format\): text, wiki/,
  },
  { name: 'zero.txt', content: '', message: /zero\.txt is empty \(0 bytes\)/ },
  {
    name: 'blank.txt',
    content: ' \n\n',
    message: /The corpus is empty: 1 file\(s\), which contain only white space \(skipped: empty text: 1\)/,
  },
  {
    name: 'nulls.jsonl',
    content: jsonl({ text: null }, { text: '' }),
    message: /The corpus is empty.*"text" is null: 1; empty text: 1/,
  },
  {
    name: 'wrong.txt',
    content: 'a',
    options: { format: 'jsnol' },
    code: 'BAD_CONFIG',
    message: /There is no format "jsnol"; did you mean "jsonl"\? Known: auto, text/,
  },
  {
    name: 'broken.jsonl',
    content: `${jsonl({ text: 'a' }, { text: 'b' })}{"text": "c\n`,
    message: /broken\.jsonl: line 3 is not JSON: /,
  },
  {
    name: 'cut.jsonl',
    content: jsonl({ text: 'a' }, { text: 'b' }).slice(0, -4),
    message: /cut\.jsonl: line 2 is not JSON/,
  },
  {
    name: 'array.jsonl',
    content: '[{"text": "a"}]\n',
    message:
      /line 1 holds a list; expected an object of fields on each line\. The file is a JSON array.*jq -c '\.\[\]'/,
  },
  {
    name: 'pretty-array.jsonl',
    content: '\n[\n  {"text": "a"}\n]\n',
    message: /line 2 holds a list; .*The file is a JSON array/,
  },
  {
    name: 'array.json.gz',
    content: gzipSync('[{"text": "a"}]'),
    message: /line 1 holds a list; .*The file is a JSON array/,
  },
  {
    name: 'pretty-object.jsonl',
    content: '{\n  "text": "a"\n}\n',
    message: /line 1 is not JSON: .*Is an object written over several lines\? Write each on one line/,
  },
  {
    name: 'nan-outside.jsonl',
    content: `${jsonl({ text: 'NaN' })}{"text": "a" NaN}\n`,
    message: /nan-outside\.jsonl: line 2 is not JSON/,
  },
  {
    name: 'field.jsonl',
    content: jsonl({ id: 1, body: 'a' }),
    message: /line 1 has no field "text"\. Name the one with the text with --field \(it has "id", "body"\)/,
  },
  {
    name: 'type.jsonl',
    content: jsonl({ id: 1, text: 'a' }),
    options: { field: 'id' },
    message: /line 1 has a number as field "id", not text.*\(it has "text"\)/,
  },
  {
    name: 'number.jsonl',
    content: jsonl({ text: 'a' }),
    options: { field: 2 },
    code: 'BAD_CONFIG',
    message: /fields of JSON lines have names; got the number 2/,
  },
  {
    name: 'quote.csv',
    content: 'id,text\n1,"open\n2,more\n',
    message: /the record that starts at line 2 has an unclosed quote\. If quotes are ordinary characters/,
  },
  {
    name: 'closing.csv',
    content: 'id,text\n1,"a" b\n',
    message: /line 2: text follows the quote that ends a field/,
  },
  {
    name: 'inside.csv',
    content: 'id,text\n1,a "b"\n',
    message: /line 2: a field that does not start with a quote contains one/,
  },
  {
    name: 'columns.csv',
    content: 'id,text\n1,a\n2,b,c\n',
    message: /line 3 does not have as many columns as the first/,
  },
  { name: 'column.csv', content: 'id,body\n1,a\n', message: /line 1 has no column "text".*\(it has "id", "body"\)/ },
  { name: 'number.tsv', content: 'id\ttext\n1\ta\n', options: { field: 3 }, message: /line 1 has no column 3/ },
  {
    name: 'zero-column.tsv',
    content: 'id\ttext\n1\ta\n',
    options: { field: 0 },
    code: 'BAD_CONFIG',
    message: /A column's number counts from 1; got 0/,
  },
  {
    name: 'header.tsv',
    content: '1\ta\n',
    options: { header: false },
    code: 'BAD_CONFIG',
    message: /without a header, a column is known by its number/,
  },
  {
    name: 'cut.parquet',
    content: parquet.subarray(0, -30),
    message: /starts as a Parquet file but does not end as one\. It is truncated/,
  },
  { name: 'short.parquet', content: 'PAR1PAR1', message: /too short for a Parquet file \(8 bytes\)/ },
  { name: 'plain.parquet', content: 'plain text', message: /is not a Parquet file: it does not start with PAR1/ },
  {
    name: 'footer.parquet',
    content: changed(parquet, -8, 0xff, 0xff, 0xff, 0x7f),
    message: /its Parquet footer cannot be read/,
  },
  {
    name: 'page.parquet',
    content: changed(parquet, Buffer.from(parquet).indexOf('three ') - 12, ...Array<number>(10).fill(0xff)),
    message: /column "text" of row group 1 of 1 \(rows 0 to 2\) cannot be read/,
  },
  {
    name: 'utf8.parquet',
    content: changed(badUtf8, Buffer.from(badUtf8).indexOf('word'), 0xff),
    message: /row group 1 of 1 .* a value is not UTF-8/,
  },
  {
    name: 'column.parquet',
    content: parquet,
    options: { field: 'body' },
    message: /has no column "body".*\(it has "id", "text"\)/,
  },
  { name: 'type.parquet', content: parquet, options: { field: 'id' }, message: /the column "id" is .*, not text/ },
  {
    name: 'nested.parquet',
    content: readFileSync(fixture('corpora/snappy.parquet')),
    options: { field: 'tags' },
    message: /the column "tags" is nested, not text/,
  },
  {
    name: 'packed.parquet.gz',
    content: gzipSync(parquet),
    message: /parquet is compressed internally and is not read from gzip/,
  },
  {
    name: 'open.txt',
    content: '<doc id="1">\nText\n</doc>\n<doc id="2">\nmore\n',
    message: /the <doc> block that starts at line 4 has no <\/doc>/,
  },
];

for (const { name, content, message, options, code = 'BAD_CORPUS' } of damages) {
  t.test(`${name}: ${String(message)}`, async (t) => {
    const folder = t.testdir({ 'a-good.txt': 'Good text comes first.\n'.repeat(50) });
    const cacheDir = join(folder, 'cache');
    writeFileSync(join(folder, name), content);
    // Text that is fine is tokenised before, and with journals after each piece there is something to leave behind.
    const isAlone = /^(blank|nulls)/.test(name);
    const inputs = [...(isAlone ? [] : [join(folder, 'a-good.txt')]), { path: join(folder, name), ...options }];
    const tokenizer = { path: fixture('tokenizers/bert-base-uncased/vocab.txt') };
    const found = await failure(() => prepareCorpus({ inputs, tokenizer, cacheDir, heldOut: 0, journalEvery: 1 }));
    t.match(found, message);
    t.match(found, new RegExp(`^${code}: `));
    if (code === 'BAD_CORPUS' && !isAlone) t.match(found, name, 'the file is named');
    t.notMatch(found, /\n/, 'one message');
    mkdirSync(cacheDir, { recursive: true });
    t.strictSame(
      readdirSync(cacheDir).filter((entry) => entry !== 'digests.json'),
      [],
    );
  });
}

t.test('folders that cannot be used', async (t) => {
  const folder = t.testdir({ empty: {}, other: { 'a.csv': 'text\na\n', 'b.pdf': 'x' } });
  const at = (...names: string[]) => names.map((name) => join(folder, name));
  const tokenizer = { path: fixture('tokenizers/bert-base-uncased/vocab.txt') };
  const base = { tokenizer, cacheDir: join(folder, 'cache'), heldOut: 0 };
  const expected: [() => Promise<unknown>, RegExp][] = [
    [
      () => prepareCorpus({ ...base, inputs: at('empty') }),
      /^BAD_CORPUS: The folder .*empty holds no text: expected files named/,
    ],
    [() => prepareCorpus({ ...base, inputs: at('other') }), /holds no text.*Tables require format csv or tsv/],
    [
      () => prepareCorpus({ ...base, inputs: at('other'), format: 'jsonl' }),
      /holds no file whose name fits format jsonl/,
    ],
    [() => prepareCorpus({ ...base, inputs: at('other/*.txt') }), /The pattern .* matches no file/],
    [() => prepareCorpus({ ...base, inputs: at('nowhere') }), /There is no file or folder .*nowhere/],
    [() => prepareCorpus({ ...base, inputs: [] }), /No input was given for the corpus/],
  ];
  for (const [call, message] of expected) t.match(await failure(call), message);
});

/** The user without rights, as most systems number it. */
const nobody = 65534;

/** A new folder that another user can reach, wherever the clone and TMPDIR are; only for the superuser. */
function reachable(): string | undefined {
  for (const parent of [tmpdir(), '/tmp', '/var/tmp', '/dev/shm']) {
    if (!existsSync(parent)) continue;
    const folder = mkdtempSync(join(parent, 'apollo-damage-'));
    chmodSync(folder, 0o755);
    process.seteuid!(nobody);
    const found = existsSync(folder);
    process.seteuid!(0);
    if (found) return folder;
    rmSync(folder, { recursive: true });
  }
  return undefined;
}

t.test('files and folders without permission', async (t) => {
  // The superuser may read anything, so that for it these calls are made as somebody else, who may not reach the clone.
  const isSuperuser = process.geteuid!() === 0;
  const folder = isSuperuser ? reachable() : t.testdir();
  if (folder === undefined) {
    t.pass('a folder to try it in', { skip: 'no folder for temporary files can be reached by somebody else' });
    return;
  }
  if (isSuperuser) t.teardown(() => rmSync(folder, { recursive: true }));
  for (const name of ['locked', 'cache']) mkdirSync(join(folder, name));
  for (const name of ['secret.txt', 'locked/a.txt']) writeFileSync(join(folder, name), 'text');
  cpSync(fixture('tokenizers/bert-base-uncased/vocab.txt'), join(folder, 'vocab.txt'));
  chmodSync(join(folder, 'secret.txt'), 0o000);
  chmodSync(join(folder, 'locked'), 0o000);
  chmodSync(join(folder, 'cache'), 0o777);
  const base = { tokenizer: { path: join(folder, 'vocab.txt') }, cacheDir: join(folder, 'cache'), heldOut: 0 };
  if (isSuperuser) process.seteuid!(nobody);
  try {
    t.match(
      await failure(() => prepareCorpus({ ...base, inputs: [join(folder, 'secret.txt')] })),
      /^BAD_CORPUS: .*secret\.txt cannot be read: EACCES/,
    );
    t.match(
      await failure(() => prepareCorpus({ ...base, inputs: [join(folder, 'locked')] })),
      /^BAD_CORPUS: The folder .*locked cannot be read: EACCES/,
    );
    t.match(
      await failure(() => prepareCorpus({ ...base, inputs: [join(folder, 'locked/a.txt')] })),
      /^BAD_CORPUS: .*a\.txt cannot be read: EACCES/,
    );
  } finally {
    if (isSuperuser) process.seteuid!(0);
    chmodSync(join(folder, 'locked'), 0o755);
  }
  t.strictSame(readdirSync(join(folder, 'cache')), []);
});
