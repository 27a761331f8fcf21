/** Which files a list of inputs means, and in what order. */
import { symlinkSync } from 'node:fs';
import { join, relative } from 'node:path';
import t from 'tap';
import { findFiles } from '../../lib/data/files.js';
import { failure } from './support.js';

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
  t.strictSame(found('notes.md'), ['notes.md'], 'a file that is named is taken whatever its name');
});

t.test('a pattern may start in the current folder', async (t) => {
  t.ok(findFiles(['data/sample/*.txt.gz']).length >= 10);
  t.ok(findFiles(['./data/*/austen*.gz']).length === 1);
});

t.test('a link to itself is no loop', async (t) => {
  const folder = t.testdir({ 'a.txt': 'a' });
  symlinkSync(folder, join(folder, 'again'));
  t.equal(findFiles([folder]).length, 1);
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
