/** Which files a list of inputs means, and in what order. */
import { linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import t from 'tap';
import { describe, findFiles } from '../../../lib/data/read/files.js';
import { type CorpusInput, findSources, type ReadOptions } from '../../../lib/data/read/inputs.js';
import { failure } from '../support.js';

const tree = {
  'b.txt': 'b',
  'a.txt.gz': 'a',
  'notes.md': 'x',
  '.hidden.txt': 'x',
  sub: { 'c.txt': 'c', wiki_00: 'w', deep: { 'd.txt': 'd' } },
  'other.json': '{}',
  none: { 'x.md': 'x' },
};

t.test('files, folders and patterns', async (t) => {
  const folder = t.testdir(tree);
  const found = (...inputs: string[]): string[] =>
    findFiles(inputs.map((input) => join(folder, input))).map(({ path }) => relative(folder, path));
  t.strictSame(found('.'), ['a.txt.gz', 'b.txt', 'sub/c.txt', 'sub/deep/d.txt', 'sub/wiki_00']);
  t.strictSame(found('sub', 'b.txt'), ['sub/c.txt', 'sub/deep/d.txt', 'sub/wiki_00', 'b.txt'], 'in the order given');
  t.strictSame(found('b.txt', '.'), ['b.txt', 'a.txt.gz', 'sub/c.txt', 'sub/deep/d.txt', 'sub/wiki_00'], 'each once');
  t.strictSame(found('*.txt'), ['b.txt']);
  t.strictSame(found('**/*.txt'), ['b.txt', 'sub/c.txt', 'sub/deep/d.txt']);
  t.strictSame(found('sub/*'), ['sub/c.txt', 'sub/wiki_00']);
  t.strictSame(found('{b,x}.txt'), ['b.txt']);
  t.strictSame(found('?.{txt,txt.gz}'), ['a.txt.gz', 'b.txt']);
  t.strictSame(found('notes.md'), ['notes.md'], 'a file that is given by its path is taken under any name');
});

t.test('a pattern may start in the current folder', async (t) => {
  t.ok(findFiles(['data/sample/*.txt.gz']).length >= 10);
  t.ok(findFiles(['./data/*/austen*.gz']).length === 1);
});

t.test('brackets in a pattern are a set of characters, as in a shell', async (t) => {
  const folder = t.testdir({
    'part-0.txt': 'a',
    'part-1.txt': 'b',
    'part-7.txt': 'c',
    'part-x.txt': 'd',
    'part-].txt': 'e',
    'part-,.txt': 'f',
    'a[1]': { 'g.txt': 'g', 'h[2].txt': 'h' },
  });
  const found = (input: string): string =>
    findFiles([join(folder, input)])
      .map(({ path }) => relative(folder, path).replace(/part-|\.txt/g, ''))
      .join(' ');
  t.equal(found('part-[0-6].txt'), '0 1');
  t.equal(found('part-[0x].txt'), '0 x');
  t.equal(found('part-[!0-9].txt'), ', ] x', 'all but these');
  t.equal(found('part-[^0-9,].txt'), '] x');
  t.equal(found('part-[]7].txt'), '7 ]', 'one of them a bracket');
  t.equal(found('part-{[7],[,]}.txt'), ', 7', 'inside braces');
  t.match(await failure(() => found('*[!0]g.txt')), /matches no file/, 'never a slash');
  t.equal(found('a[1]/*'), 'a[1]/g a[1]/h[2]', 'a folder of that name');
  t.equal(found('a[1]/h[2].txt'), 'a[1]/h[2]', 'a file of that name');
  t.equal(found('a[[]1]/h[[]*'), 'a[1]/h[2]');
  const message = /^BAD_CORPUS: The pattern .*part-\[9-0\]\.txt cannot be read: expected ranges in brackets in order/;
  t.match(await failure(() => findFiles([join(folder, 'part-[9-0].txt')])), message);
});

t.test('a link to itself is no loop', async (t) => {
  const folder = t.testdir({ 'a.txt': 'a' });
  symlinkSync(folder, join(folder, 'again'));
  t.equal(findFiles([folder]).length, 1);
});

t.test('links to folders are followed, in folders and in patterns', async (t) => {
  const folder = t.testdir({
    real: { wiki: { 'a.txt': 'a', deep: { 'b.txt': 'b' } }, 'c.txt': 'c' },
    data: { 'd.txt': 'd' },
  });
  symlinkSync('../real/wiki', join(folder, 'data', 'wiki'));
  symlinkSync('../real/c.txt', join(folder, 'data', 'c.txt'));
  const found = (...inputs: string[]): string[] =>
    findFiles(inputs.map((input) => join(folder, input))).map(({ path }) => relative(folder, path));
  t.strictSame(found('data'), ['data/c.txt', 'data/d.txt', 'data/wiki/a.txt', 'data/wiki/deep/b.txt']);
  t.strictSame(found('data/*/*.txt'), ['data/wiki/a.txt']);
  t.strictSame(found('data/**/b.txt'), ['data/wiki/deep/b.txt']);
  symlinkSync('data/wiki', join(folder, 'chain'));
  t.strictSame(found('chain'), ['chain/a.txt', 'chain/deep/b.txt'], 'a link to a link, named itself');
  t.strictSame(found('.').length, 4, 'each file once, under all its paths');
});

t.test('loops of links end, however they are closed', async (t) => {
  const folder = t.testdir({ a: { 'a.txt': 'a', b: { 'b.txt': 'b' } } });
  symlinkSync('..', join(folder, 'a', 'up'));
  symlinkSync('../..', join(folder, 'a', 'b', 'top'));
  symlinkSync(join(folder, 'a'), join(folder, 'a', 'b', 'self'));
  const names = (input: string) => findFiles([join(folder, input)]).map(({ path }) => relative(folder, path));
  t.strictSame(names('.').length, 2);
  t.strictSame(names('a').length, 2);
  t.strictSame(names('**/b.txt').length, 1);
  // Each of two folders links to the other, twice.
  for (const [from, to] of [
    ['x', 'y'],
    ['y', 'x'],
  ] as const) {
    mkdirSync(join(folder, 'both', from), { recursive: true });
    for (const name of ['one', 'two']) symlinkSync(join(folder, 'both', to), join(folder, 'both', from, name));
    writeFileSync(join(folder, 'both', from, `${from}.txt`), from);
  }
  t.strictSame(names('both').length, 2);
});

t.test('broken links are reported', async (t) => {
  const folder = t.testdir({ 'a.txt': 'a' });
  symlinkSync('gone', join(folder, 'broken.txt'));
  symlinkSync('circle.txt', join(folder, 'circle.txt'));
  const notes: string[] = [];
  t.equal(findFiles([folder], 'auto', (note) => notes.push(note)).length, 1);
  t.match(notes, [/Broken links are skipped: .*broken\.txt, .*circle\.txt/]);
});

t.test('one file by two names counts once, and not in two inputs with weights', async (t) => {
  const folder = t.testdir({ a: { 'a.txt': 'a' }, b: { 'b.txt': 'b' } });
  linkSync(join(folder, 'a', 'a.txt'), join(folder, 'b', 'hard.txt'));
  const at = (name: string) => join(folder, name);
  t.equal(findSources([at('a'), at('b')], {})[0]!.files.length, 2);
  t.match(
    await failure(() => findSources([`${at('a')}:1`, `${at('b')}:1`], {})),
    /^BAD_CONFIG: .*hard\.txt is in two inputs with weights \(by a link: it is the same file as .*a\.txt\)/,
  );
  const linked = t.testdir({ a: { 'a.txt': 'a' }, b: { 'b.txt': 'b' } });
  symlinkSync('../a', join(linked, 'b', 'more'));
  t.match(
    await failure(() => findSources([`${join(linked, 'a')}:1`, `${join(linked, 'b')}:1`], {})),
    /more\/a\.txt is in two inputs with weights \(by a link/,
  );
});

t.test('formats are known by their endings, large and small letters alike', async (t) => {
  const names = [
    'a.json',
    'a.JSONL',
    'a.ndjson',
    'a.JSON.GZ',
    'a.CSV',
    'a.tab',
    'a.PARQUET',
    'a.TXT',
    'wiki_00',
    'a.zst',
  ];
  const folder = t.testdir(Object.fromEntries(names.map((name) => [name, 'x'])));
  t.strictSame(
    names.map((name) => describe(join(folder, name))).map(({ format, packing }) => [format, packing]),
    [
      ['jsonl', undefined],
      ['jsonl', undefined],
      ['jsonl', undefined],
      ['jsonl', 'gzip'],
      ['csv', undefined],
      ['tsv', undefined],
      ['parquet', undefined],
      ['auto', undefined],
      ['auto', undefined],
      ['auto', 'zstd'],
    ],
  );
});

t.test('inputs without text say so', async (t) => {
  const folder = t.testdir({ ...tree, 'empty.txt': '' });
  const expected: [string[], RegExp][] = [
    [[], /^BAD_CORPUS: No input was given/],
    [[join(folder, 'missing')], /^BAD_CORPUS: There is no file or folder .*missing/],
    [[join(folder, 'none')], /^BAD_CORPUS: The folder .*none holds no text/],
    [[join(folder, '*.csv')], /^BAD_CORPUS: The pattern .*\*\.csv matches no file/],
    [[join(folder, 'no-such', '*.txt')], /^BAD_CORPUS: The pattern .* matches no file/],
    [[folder], /^BAD_CORPUS: .*empty\.txt is empty/],
  ];
  for (const [inputs, message] of expected) t.match(await failure(() => findFiles(inputs)), message);
});

t.test('an option of reading that is of no use for any file is noted', async (t) => {
  const folder = t.testdir({ 'a.txt': 'a b', 'b.jsonl': '{"body":"c"}', 'c.csv': 'text\nd' });
  const at = (name: string) => join(folder, name);
  const notesOf = (inputs: readonly (string | CorpusInput)[], defaults: ReadOptions = {}): string[] => {
    const notes: string[] = [];
    findSources(inputs, defaults, (note) => notes.push(note));
    return notes;
  };
  t.match(notesOf([at('a.txt')], { field: 'body' }), [
    /^No effect: field is for JSON lines, .*a\.txt is read as text\.$/,
  ]);
  t.match(notesOf([at('b.jsonl')], { header: false }), [/^No effect: header is for CSV or TSV, .*read as jsonl\.$/]);
  t.match(notesOf([{ path: at('c.csv'), decodeEntities: true }]), [/^No effect: decodeEntities .*read as csv\.$/]);
  t.same(notesOf([at('a.txt'), at('b.jsonl')], { field: 'body' }), [], 'one file uses it');
  t.same(notesOf([at('c.csv')], { quotes: true, header: true, field: 'text' }), []);
});
