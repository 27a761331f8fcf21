/** Several threads and processes that prepare the same text in one cache at once. */
import { cpSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { type CorpusOptions, type CorpusProgress, prepareCorpus } from '../../../lib/data/corpus/prepare.js';

const text = 'The same words, again and again, for all of them. '.repeat(2000);
const optionsIn = (folder: string, cacheDir: string): CorpusOptions => ({
  inputs: [join(folder, 'a.txt')],
  tokenizer: { train: 'bpe', vocabSize: 280 },
  cacheDir: join(folder, cacheDir),
  workers: 0,
});

const entriesOf = (folder: string): string[] => readdirSync(folder).filter((name) => /^[\w-]+$/.test(name));

t.test('threads of one process that start together all get the corpus', async (t) => {
  const folder = t.testdir({ 'a.txt': text });
  for (let round = 0; round < 3; round++) {
    const workerData = optionsIn(folder, `cache-${round}`);
    const answers = await Promise.all(
      Array.from(
        { length: 4 },
        () =>
          new Promise((resolve, reject) => {
            const thread = new Worker(new URL('prepare-thread.ts', import.meta.url), { workerData });
            thread.once('message', resolve).once('error', reject);
          }),
      ),
    );
    t.strictSame(
      answers,
      answers.map(() => answers[0]),
      `round ${round}`,
    );
    t.match(answers[0], { trainTokens: Number, first: Array });
    t.strictSame(
      readdirSync(workerData.cacheDir).filter((name) => name.startsWith('.')),
      [],
    );
  }
});

t.test('an entry that another one has finished meanwhile stays, since it may be in use', async (t) => {
  const folder = t.testdir({ 'a.txt': text });
  const [first, second] = [optionsIn(folder, 'first'), optionsIn(folder, 'second')];
  (await prepareCorpus(first)).close();
  const entries = entriesOf(first.cacheDir);
  t.equal(entries.length, 2);
  const inode = (name: string) => statSync(join(second.cacheDir, name)).ino;
  const before = new Map<string, number>();
  const finish = (isTokenizer: boolean) => {
    const name = entries.find((entry) => entry.startsWith('tokenizer-') === isTokenizer)!;
    if (before.has(name)) return;
    cpSync(join(first.cacheDir, name), join(second.cacheDir, name), { recursive: true });
    before.set(name, inode(name));
  };
  const onProgress = ({ phase }: CorpusProgress) => {
    if (phase === 'train tokenizer' || phase === 'tokenise') finish(phase === 'train tokenizer');
  };
  (await prepareCorpus({ ...second, onProgress })).close();
  t.equal(before.size, 2);
  for (const [name, was] of before) t.equal(inode(name), was, name);

  const [damaged] = entries.filter((name) => !name.startsWith('tokenizer-'));
  const tokens = (cacheDir: string) => join(cacheDir, damaged!, 'tokens.bin');
  writeFileSync(tokens(second.cacheDir), 'other');
  (await prepareCorpus(second)).close();
  t.strictSame(
    readFileSync(tokens(second.cacheDir)),
    readFileSync(tokens(first.cacheDir)),
    'a damaged one is replaced',
  );
  t.strictSame(
    readdirSync(second.cacheDir).filter((name) => name.startsWith('.')),
    [],
  );
});
