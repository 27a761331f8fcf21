/** Every format gives the same documents, packed or not; what is skipped is counted; little is held at a time. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { type CorpusOptions, prepareCorpus } from '../../../lib/data/corpus/prepare.js';
import { readDocuments } from '../../../lib/data/read/documents.js';
import { describe } from '../../../lib/data/read/files.js';
import { formatNames } from '../../../lib/data/read/formats/index.js';
import { findSources, type ReadOptions } from '../../../lib/data/read/inputs.js';
import { longestPiece } from '../../../lib/data/read/pieces.js';
import { zstd } from '../../../lib/data/read/unpack/zstd.js';
import { pack, parquetFile, storedZstd, writeFormat, writtenFormats } from '../corpus-writers.js';
import { bert, fixture, gpt2, shared } from '../support.js';

/** The documents of a path with the reasons of what was skipped. */
async function read(path: string, options: ReadOptions = {}) {
  const documents: string[] = [];
  const skipped: string[] = [];
  const [source] = findSources([path], options);
  for (const [i, file] of source!.files.entries()) {
    let text = '';
    for await (const piece of readDocuments(file, { onSkip: (reason) => skipped.push(reason) }, source!.options[i])) {
      text += piece.text;
      if (!piece.isLast) continue;
      documents.push(text);
      text = '';
    }
  }
  return { documents, skipped };
}

const documents = JSON.parse(readFileSync(fixture('corpora/documents.json'), 'utf8')) as string[];

for (const format of writtenFormats) {
  for (const ending of format.packable ? Object.keys(pack) : ['']) {
    t.test(`${format.name}${ending} give the documents`, async (t) => {
      const folder = t.testdir();
      await writeFormat(folder, format, documents, ending);
      t.strictSame(await read(folder, format.options), { documents, skipped: [] });
    });
  }
}

t.test('Parquet of another writer: every codec and encoding, nulls counted', async (t) => {
  for (const name of ['snappy', 'gzip-v2', 'zstd-groups', 'brotli-plain', 'lz4', 'none-delta']) {
    const found = await read(fixture(`corpora/${name}.parquet`));
    t.strictSame(found, { documents: [...documents, ''], skipped: ['"text" is null'] }, name);
    const blob = await read(fixture(`corpora/${name}.parquet`), { field: 'blob' });
    t.strictSame(blob.documents, found.documents, `${name}, bytes that are text`);
  }
});

t.test('a zstd file of another writer: two frames of different levels, one skippable', async (t) => {
  const book = fileURLToPath(new URL('../../../data/sample/conrad-typhoon.txt.gz', import.meta.url));
  const found = await read(fixture('corpora/typhoon.txt.zst'));
  t.ok(found.documents.length === 1 && found.documents[0] === gunzipSync(readFileSync(book)).toString());
});

t.test('TSV without quotes: a quote is a letter like others', async (t) => {
  const folder = t.testdir({ 'a.tsv': 'id\ttext\n1\t"half a quote\n2\tsays "yes"\n\n3\t\n' });
  const path = join(folder, 'a.tsv');
  t.strictSame(await read(path), { documents: ['"half a quote', 'says "yes"', ''], skipped: [] });
  t.strictSame((await read(path, { field: 1, header: false })).documents, ['id', '1', '2', '3']);
});

t.test('records without text are skipped, each with its reason', async (t) => {
  const records = [{ text: 'one' }, { text: null }, { other: 1 }, { text: 5 }, { text: ['a'] }, { text: 'two' }];
  const folder = t.testdir({ 'a.jsonl': records.map((record) => JSON.stringify(record)).join('\n') });
  t.strictSame(await read(join(folder, 'a.jsonl')), {
    documents: ['one', 'two'],
    skipped: ['"text" is null', 'no field "text"', '"text" is a number, not text', '"text" is a list, not text'],
  });
});

t.test('each row of CSV and TSV has its own end', async (t) => {
  const cases: Record<string, string> = {
    'crlf-header.csv': 'id,text\r\n1,one\n2,two\n3,three',
    'lf-header.csv': 'id,text\n1,one\r\n2,two\r\n3,three\r\n',
    'changing.csv': 'id,text\r\n1,one\n2,two\r\n3,three\n',
    'returns.csv': 'id,text\r1,one\n2,two\r\n3,three\r',
    'blank.csv': 'id,text\n\r\n1,one\n\n2,two\r\n\r\n3,three\n',
    'changing.tsv': 'id\ttext\r\n1\tone\n2\ttwo\r\n3\tthree\n',
  };
  const folder = t.testdir(cases);
  for (const name of Object.keys(cases))
    t.strictSame((await read(join(folder, name))).documents, ['one', 'two', 'three'], name);
  const quoted = t.testdir({ 'a.csv': 'id,text\r\n1,"one\r\nmore\nand"\n2,two\r\n' });
  t.strictSame((await read(join(quoted, 'a.csv'))).documents, ['one\r\nmore\nand', 'two'], 'those in quotes stay');
});

t.test('NaN and Infinity, as Python writes them, count as null', async (t) => {
  const folder = t.testdir({
    'a.jsonl':
      '{"score": NaN, "text": "says \\"NaN\\", -Infinity"}\n{"a": [Infinity, -Infinity], "text": "two"}\n{"text": NaN}\n',
  });
  t.strictSame(await read(join(folder, 'a.jsonl')), {
    documents: ['says "NaN", -Infinity', 'two'],
    skipped: ['"text" is null'],
  });
});

t.test('a field inside of another: JSON and Parquet', async (t) => {
  const rows = [{ text: 'one', inner: { body: 'x' } }, null, { text: 'two', inner: null }];
  const leaf = { type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' };
  const nested = parquetFile({
    columnData: [
      { name: 'id', data: [1, 2, 3] },
      { name: 'meta', data: rows },
      { name: 'meta.flat', data: ['a', 'b', 'c'] },
    ],
    schema: [
      { name: 'root', num_children: 3 },
      { name: 'id', type: 'INT32', repetition_type: 'REQUIRED' },
      { name: 'meta', num_children: 2, repetition_type: 'OPTIONAL' },
      { name: 'text', ...leaf },
      { name: 'inner', num_children: 1, repetition_type: 'OPTIONAL' },
      { name: 'body', ...leaf },
      { name: 'meta.flat', ...leaf },
    ],
  });
  const lines = rows.map((meta, i) => JSON.stringify({ id: i, meta, 'meta.flat': 'abc'[i] })).join('\n');
  const folder = t.testdir({ 'a.jsonl': lines });
  writeFileSync(join(folder, 'a.parquet'), nested);
  for (const name of ['a.parquet', 'a.jsonl']) {
    const path = join(folder, name);
    t.strictSame((await read(path, { field: 'meta.text' })).documents, ['one', 'two'], name);
    t.strictSame((await read(path, { field: 'meta.inner.body' })).documents, ['x'], name);
    t.strictSame((await read(path, { field: 'meta.flat' })).documents, ['a', 'b', 'c'], `${name}: a name with a dot`);
    await t.rejects(read(path, { field: 'meta.txt' }), { message: /it has "id", "meta\.text", "meta\.inner\.body"/ });
  }
  await t.rejects(read(join(folder, 'a.parquet'), { field: 'meta' }), { message: /column "meta" is nested/ });
});

t.test("WikiExtractor's JSON is recognised by its keys in any order", async (t) => {
  const article = { text: 'Body.', title: 'A', url: 'u', id: 12 };
  const other = JSON.stringify({ id: '1', revid: null, title: 'B', text: 'B\nmore', url: 'u' });
  const long = JSON.stringify({ text: 'x'.repeat(200_000), id: 1, title: 'C' });
  const folder = t.testdir({
    wiki_00: `\n${JSON.stringify(article)}\n${other}\n`,
    'a.txt': other,
    'b.txt': long,
    'c.txt': '{"title": "no article", "id": 1}\n',
    'd.txt': '{ not JSON\n',
  });
  t.strictSame((await read(join(folder, 'wiki_00'))).documents, ['A\n\nBody.', 'B\nmore']);
  t.strictSame((await read(join(folder, 'a.txt'))).documents, ['B\nmore']);
  t.strictSame((await read(join(folder, 'b.txt'))).documents, [`C\n\n${'x'.repeat(200_000)}`]);
  t.strictSame((await read(join(folder, 'c.txt'))).documents, ['{"title": "no article", "id": 1}\n']);
  t.strictSame((await read(join(folder, 'd.txt'))).documents, ['{ not JSON\n']);
});

t.test('articles without text are empty documents, in JSON and in blocks', async (t) => {
  const lines = [
    { id: '1', url: 'u', title: 'Redirect', text: '' },
    { id: '2', url: 'u', title: 'Blank', text: ' \n' },
    { id: '3', url: 'u', title: 'Title', text: 'Title\n\n' },
    { id: '4', url: 'u', title: 'Kept', text: 'Text.' },
  ];
  const blocks = lines.map(({ id, title, text }) => `<doc id="${id}" title="${title}">\n${title}\n\n${text}\n</doc>\n`);
  const folder = t.testdir({
    'json.txt': lines.map((line) => `${JSON.stringify(line)}\n`).join(''),
    'blocks.txt': [blocks[0], blocks[1], blocks[3]].join(''),
  });
  t.strictSame((await read(join(folder, 'json.txt'))).documents, ['', '', '', 'Kept\n\nText.']);
  t.strictSame((await read(join(folder, 'blocks.txt'))).documents, ['', '', 'Kept\n\nText.\n']);
  const { stats, close } = await prepareCorpus({
    inputs: [join(folder, 'json.txt')],
    tokenizer: { path: fixture('tokenizers/bert-base-uncased/vocab.txt') },
    cacheDir: join(folder, 'cache'),
    heldOut: 0,
  });
  t.strictSame([stats.documents, stats.skipped], [1, { 'empty text': 3 }]);
  close();
});

t.test("WikiExtractor's escaped entities, where asked for", async (t) => {
  const text = 'a &lt;b&gt; &amp;lt; &quot;c&quot; &#x27;d&#39; &nbsp;';
  const plain = 'a <b> &lt; "c" \'d\' &nbsp;';
  const folder = t.testdir({
    'blocks.txt': `<doc id="1" title="AT&amp;T">\nAT&amp;T\n\n${text}\n</doc>\n`,
    'json.txt': JSON.stringify({ id: '1', url: 'u', title: 'AT&amp;T', text }),
    'plain.txt': text,
  });
  const both = async (name: string) => [
    (await read(join(folder, name))).documents[0],
    (await read(join(folder, name), { decodeEntities: true })).documents[0],
  ];
  t.strictSame(await both('blocks.txt'), [`AT&amp;T\n\n${text}\n`, `AT&T\n\n${plain}\n`]);
  t.strictSame(await both('json.txt'), [`AT&amp;T\n\n${text}`, `AT&T\n\n${plain}`]);
  t.strictSame(await both('plain.txt'), [text, text], 'of WikiExtractor alone');
  const corpusOf = (decodeEntities: boolean) =>
    prepareCorpus({
      inputs: [join(folder, 'json.txt')],
      decodeEntities,
      tokenizer: { path: fixture('tokenizers/bert-base-uncased/vocab.txt') },
      cacheDir: join(folder, 'cache'),
      heldOut: 0,
    });
  const [kept, changed] = [await corpusOf(false), await corpusOf(true)];
  t.not(kept.key, changed.key, 'tokens of their own');
  t.not(kept.stats.tokens, changed.stats.tokens);
  kept.close();
  changed.close();
});

t.test('the format follows from the name; the option overrides it', async (t) => {
  const line = '{"text":"a"}\n';
  const folder = t.testdir({ 'a.jsonl': line, 'a.json': line, 'b.txt': line, 'part.00': 'plain', noending: 'plain' });
  t.strictSame((await read(join(folder, 'a.jsonl'))).documents, ['a']);
  t.strictSame((await read(join(folder, 'a.json'))).documents, ['a'], '.json that is named');
  t.strictSame((await read(join(folder, 'b.txt'))).documents, [line]);
  t.strictSame((await read(join(folder, 'b.txt'), { format: 'jsonl' })).documents, ['a']);
  t.strictSame((await read(join(folder, 'a.jsonl'), { format: 'text' })).documents, [line]);
  t.strictSame((await read(folder, { format: 'jsonl' })).documents, ['a', 'a'], '.json in a folder when asked for');
  t.strictSame((await read(join(folder, 'part.00'))).documents, ['plain']);
  t.strictSame((await read(join(folder, 'noending'))).documents, ['plain']);
});

t.test('text as it is, where the option says text', async (t) => {
  const block = '<doc id="1">\nA\n</doc>\n';
  const folder = t.testdir({ 'a.txt': block });
  t.strictSame((await read(join(folder, 'a.txt'))).documents, ['A\n']);
  t.strictSame((await read(join(folder, 'a.txt'), { format: 'text' })).documents, [block]);
  t.strictSame((await read(join(folder, 'a.txt'), { format: 'wiki' })).documents, ['A\n']);
});

t.test("Gutenberg's older files: long START lines, the small print, no end, no START line", async (t) => {
  const body = 'CHAPTER I\n\nText.\n';
  const cases: [string, string[]][] = [
    [`Project Gutenberg's A\n\n*** START OF THIS PROJECT GUTENBERG EBOOK A LONG\nTITLE ***\n\n${body}`, [body]],
    [
      `***The Project Gutenberg Etext of A***\nfine print\n*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*\n${body}`,
      [body],
    ],
    [`The Project Gutenberg EBook of A\r\n\r\n*** START OF THE PROJECT GUTENBERG EBOOK A ***\r\n${body}`, [body]],
    [`The Project Gutenberg EBook of A\n\nNothing else.\n`, ['The Project Gutenberg EBook of A\n\nNothing else.\n']],
    [`*** START OF THE PROJECT GUTENBERG EBOOK A ***\n${body}*** END OF THE PROJECT GUTENBERG EBOOK A ***`, [body]],
  ];
  for (const [i, [text, expected]] of cases.entries()) {
    const folder = t.testdir({ [`book-${i}.txt`]: text });
    t.strictSame((await read(join(folder, `book-${i}.txt`))).documents, expected);
    t.strictSame((await read(join(folder, `book-${i}.txt`), { format: 'gutenberg' })).documents, expected);
  }
});

t.test('a byte order mark is not part of the first field', async (t) => {
  const folder = t.testdir({ 'a.csv': '\ufefftext,n\na,1\n', 'a.jsonl': '\ufeff{"text":"a"}\n' });
  t.strictSame((await read(join(folder, 'a.csv'))).documents, ['a']);
  t.strictSame((await read(join(folder, 'a.jsonl'))).documents, ['a']);
});

t.test('long documents come in pieces that are tokenised like the whole, from every format', async (t) => {
  const long = `Title\n\n${'It is a long text, said she; '.repeat(12_000)}\n`;
  const ids = gpt2().encode(long).join();
  for (const format of writtenFormats) {
    const folder = t.testdir();
    await writeFormat(folder, format, ['Short\n\nfirst.\n', long]);
    const pieces: string[] = [];
    const [source] = findSources([folder], format.options ?? {});
    for (const [i, file] of source!.files.entries())
      for await (const { text } of readDocuments(file, {}, source!.options[i])) pieces.push(text);
    t.ok(Math.max(...pieces.map(({ length }) => length)) < 2 ** 18, format.name);
    t.ok(
      pieces
        .slice(1)
        .flatMap((piece) => [...gpt2().encode(piece)])
        .join() === ids,
      format.name,
    );
  }
});

t.test('no piece of any file is longer than the bound', async (t) => {
  const folder = t.testdir({ 'a.jsonl': JSON.stringify({ text: 'x'.repeat(9_000_000) }) });
  const lengths: number[] = [];
  for await (const { text } of readDocuments(describe(join(folder, 'a.jsonl')))) lengths.push(text.length);
  t.strictSame(lengths, [longestPiece, longestPiece, 9_000_000 - 2 * longestPiece]);
});

t.test('zstd is unpacked block by block: 4 bytes that stand for 128 KiB do not pile up', async (t) => {
  const block = Buffer.alloc(4, 'a');
  block.writeUIntLE(((1 << 17) << 3) | 2, 0, 3); // a block of one byte repeated
  const last = Buffer.from(block);
  last[0]! |= 1;
  const frame = Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 0x38]), ...Array(999).fill(block), last]);
  let taken = 0;
  async function* source() {
    for (let i = 0; i < frame.length; i += 1000) {
      taken = Math.min(frame.length, i + 1000);
      yield frame.subarray(i, i + 1000);
    }
  }
  let total = 0;
  let most = 0;
  let ahead = 0;
  for await (const chunk of zstd.unpack(source())) {
    total += chunk.length;
    most = Math.max(most, chunk.length);
    ahead = Math.max(ahead, taken - 4 * (total / (1 << 17)));
  }
  t.equal(total, 1000 * (1 << 17));
  t.equal(most, 1 << 17);
  t.ok(ahead <= 1000 + 24, `${ahead} bytes were read before they were needed`);
});

t.test('a zstd frame cut anywhere in chunks is the same', async (t) => {
  const frame = readFileSync(fixture('corpora/typhoon.txt.zst'));
  const unpacked = async (size: number): Promise<Buffer> => {
    const chunks: Uint8Array[] = [];
    async function* source() {
      for (let i = 0; i < frame.length; i += size) yield frame.subarray(i, i + size);
    }
    for await (const chunk of zstd.unpack(source())) chunks.push(chunk);
    return Buffer.concat(chunks);
  };
  const whole = await unpacked(frame.length);
  for (const size of [5, 4096]) t.ok((await unpacked(size)).equals(whole), `chunks of ${size}`);
  const empty: Uint8Array[] = [];
  async function* nothing() {
    yield await storedZstd(new Uint8Array(0));
  }
  for await (const chunk of zstd.unpack(nothing())) empty.push(chunk);
  t.equal(Buffer.concat(empty).length, 0);
});

t.test('formats are known by the names the documentation gives', async (t) => {
  t.strictSame(formatNames, ['auto', 'text', 'wiki', 'gutenberg', 'jsonl', 'csv', 'tsv', 'parquet']);
});

/** All tokens of a corpus, as one string. */
async function tokens(options: CorpusOptions): Promise<string> {
  const corpus = await prepareCorpus({ ...options, heldOut: 0 });
  const ids = corpus.train.read(0, corpus.train.tokenCount);
  corpus.close();
  return Buffer.from(ids.buffer).toString('base64');
}

for (const [name, sliceBytes] of [
  ['wiki/enwiki_part0.txt.gz', 600_000],
  ['books/gutenberg_part0.txt.gz', 1_500_000],
] as const) {
  const { path, skip } = shared(name);
  t.test(`a slice of ${name} in every format gives the tokens of the plain text`, { skip }, async (t) => {
    const text = gunzipSync(readFileSync(path)).subarray(0, sliceBytes).toString();
    const slice = [...text.matchAll(/<doc [^\n]*>\n([^\n]+\n[\s\S]*?)<\/doc>\n/g)].map(([, document]) => document!);
    const whole = slice.filter((document) => document.trim() !== '');
    t.ok(whole.length >= 3, `${whole.length} documents`);
    const path_ = fixture('tokenizers/bert-base-uncased/vocab.txt');
    const expected = whole.flatMap((document) => [...bert().encode(document), 102]);
    const plain = Buffer.from(Int32Array.from(expected).buffer).toString('base64');
    for (const format of writtenFormats) {
      // Books begin with their first line that is not blank, and end with their last.
      if (format.name.startsWith('Gutenberg') && name.startsWith('books')) continue;
      if (format.name === 'wiki JSON without titles in the text' && name.startsWith('books')) continue;
      const folder = t.testdir();
      await writeFormat(folder, format, whole, format.packable ? '.zst' : '');
      const options = { ...format.options, inputs: [folder], cacheDir: join(folder, 'cache') };
      t.ok((await tokens({ ...options, tokenizer: { path: path_ }, workers: 0 })) === plain, format.name);
    }
  });
}

t.test('a row group is held at a time', async (t) => {
  const folder = t.testdir();
  const path = join(folder, 'a.parquet');
  const texts = Array.from({ length: 50 }, (_, i) => `${i} ${'word '.repeat(2000)}`);
  const columnData = [{ name: 'text', data: texts, type: 'STRING' as const }];
  writeFileSync(path, parquetFile({ columnData, rowGroupSize: 5, codec: 'UNCOMPRESSED' }));
  const file = describe(path);
  let bytes = 0;
  const seen: number[] = []; // bytes read when a document comes
  for await (const _ of readDocuments(file, { onBytes: (count) => (bytes += count) })) seen.push(bytes);
  t.equal(bytes, file.sizeBytes);
  t.strictSame(
    seen.map((read) => Math.round((10 * read) / file.sizeBytes)),
    texts.map((_, i) => Math.floor(i / 5)),
  );
});

t.test('zstd keeps nothing of the packed bytes that are behind it', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // Blocks that hold their bytes as they are: as many bytes packed as unpacked.
  const frame = await storedZstd(Buffer.alloc(40 << 17, 'some text '));
  async function* source() {
    for (let start = 0; start < frame.length; start += 1 << 16)
      yield Uint8Array.from(frame.subarray(start, start + (1 << 16)));
  }
  /** Bytes outside of the heap that are in use; what is free already may take a few turns to go. */
  const inUse = async (enough: number): Promise<number> => {
    let bytes = Number.POSITIVE_INFINITY;
    for (let tries = 0; tries < 20 && bytes > enough; tries++) {
      await new Promise((resolve) => setImmediate(resolve));
      collect();
      bytes = process.memoryUsage().arrayBuffers;
    }
    return bytes;
  };
  let blocks = 0;
  let early = 0;
  let late = 0;
  for await (const _ of zstd.unpack(source())) {
    blocks++;
    if (blocks === 5) early = await inUse(0);
    if (blocks === 35) late = await inUse(early + (1 << 19));
  }
  t.equal(blocks, 40);
  t.ok(late - early < 1 << 20, `${late - early} bytes more after 30 blocks of 131072 bytes`);
});
