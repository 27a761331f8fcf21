/**
 * Words that the project does not use: those of its former dialect in comments and in strings of several words, and former names of concepts anywhere in the
 * code. fixtures/words.json lists them with the words to use instead.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { oldNames } from '../lib/renamed.js';
import words from './fixtures/words.json' with { type: 'json' };

const root = join(import.meta.dirname, '..');
const rooms = ['lib', 'native', 'test', 'bench', 'scripts'];
const listed = spawnSync('git', ['ls-files', '-co', '--exclude-standard', ...rooms], { cwd: root, encoding: 'utf8' });
/** Files in which a word may be written because they are about it. */
const aboutWords = [
  'lib/renamed.ts',
  ...['docs/words', 'renamed', 'suggest', 'train/config', 'words'].map((name) => `test/${name}.test.ts`),
];
const files = listed.stdout
  .split('\n')
  .filter(
    (path) => /\.(ts|mjs|js|cc|h|cu|cuh)$/.test(path) && !path.includes('/fixtures/') && !aboutWords.includes(path),
  );

/** The comments of a file, each as one line, and its strings of several words, as far as a pattern can tell them from code. */
function wordsOf(text: string): string[] {
  const found = text.match(
    /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|\/\*[\s\S]*?\*\/|(?:[ \t]*\/\/[^\n]*\n?)+/g,
  );
  return (found ?? [])
    .filter((part) => part.trim().includes(' '))
    .map((part) => part.replace(/^\s*(?:\/\/|\/\*\*?|\*\/?)|\*\/\s*$/gm, '').replace(/\s+/g, ' '));
}

const pattern = (phrases: readonly string[]) =>
  new RegExp(`\\b(?:${phrases.map((phrase) => phrase.replaceAll(' ', '\\s+')).join('|')})\\b`, 'gi');

t.test('comments and strings of several words are found', async (t) => {
  const text = "/** A doc\n * comment. */\nconst x = f('word', 'a // string'); // and a tail\n// two\n// lines\n";
  t.same(
    wordsOf(text).map((part) => part.trim()),
    ['A doc comment.', "'a // string'", 'and a tail two lines'],
  );
  t.match('It goes  on with it, begun', pattern(Object.keys(words.dialect)));
});

t.test('no word of the dialect is left in a comment or a string', async (t) => {
  t.ok(files.length > 800, `${files.length} files`);
  const dialect = pattern(Object.keys(words.dialect));
  for (const file of files) {
    const parts = wordsOf(readFileSync(join(root, file), 'utf8'));
    t.same(
      parts.flatMap((part) => part.match(dialect) ?? []),
      [],
      file,
    );
  }
});

t.test('no former name is left in the code', async (t) => {
  // Some old names are words with another meaning as well: units of a layer, the vocabulary of a tokenizer file.
  const own = oldNames.filter((name) => !['accumulate', 'lr', 'microBatches', 'units', 'vocab'].includes(name));
  const former = pattern([...own, ...Object.keys(words.synonyms)]);
  for (const file of files) t.same(readFileSync(join(root, file), 'utf8').match(former) ?? [], [], file);
});
