import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { latestCheckpoint, listCheckpoints, writeFolder } from '../../../lib/train/checkpoint/checkpoint-folder.js';

const put = (text: string) => (folder: string) => writeFile(join(folder, 'state.json'), text);
const contents = async (path: string) => readFile(join(path, 'state.json'), 'utf8');

t.test('only the newest checkpoints are kept, one or more', async (t) => {
  const dir = t.testdir();
  t.equal(await latestCheckpoint(join(dir, 'absent')), undefined);
  await writeFolder(dir, 10, { keep: 1 }, put('ten'));
  t.same(await readdir(dir), ['step-00000010']);
  await writeFolder(dir, 20, { keep: 1 }, put('twenty'));
  t.same(await readdir(dir), ['step-00000020']);
  await writeFolder(dir, 30, { keep: 3 }, put('thirty'));
  const path = await writeFolder(dir, 123456789, { keep: 3 }, put('many'));
  t.equal(path, join(dir, 'step-123456789'));
  t.same(
    (await listCheckpoints(dir)).map((folder) => folder.step),
    [20, 30, 123456789],
  );
  t.equal((await latestCheckpoint(dir))?.step, 123456789);
});

t.test('a checkpoint of the same step replaces the one before', async (t) => {
  const dir = t.testdir();
  await writeFolder(dir, 5, { keep: 1 }, put('first'));
  const path = await writeFolder(dir, 5, { keep: 1 }, put('second'));
  t.same(await readdir(dir), ['step-00000005']);
  t.equal(await contents(path), 'second');
});

t.test('a write that fails leaves the previous checkpoint and nothing else', async (t) => {
  const dir = t.testdir();
  await writeFolder(dir, 5, { keep: 1 }, put('good'));
  await t.rejects(
    writeFolder(dir, 6, { keep: 1 }, async (folder) => {
      await put('half')(folder);
      throw new Error('no space left');
    }),
    { message: 'no space left' },
  );
  t.same(await readdir(dir), ['step-00000005']);
});

t.test('wherever a process dies, recovery finds a complete checkpoint', async (t) => {
  const complete = (text: string) => ({ 'state.json': text });
  // Each layout is what a crash between two file operations of writeFolder leaves behind.
  const layouts: [string, Record<string, Record<string, string>>, string][] = [
    ['while writing', { 'step-00000005': complete('five'), '.writing-step-00000006': {} }, 'five'],
    ['before the rename', { 'step-00000005': complete('five'), '.writing-step-00000006': complete('six') }, 'five'],
    ['before the old one goes', { 'step-00000005': complete('five'), 'step-00000006': complete('six') }, 'six'],
    ['while the old one goes', { '.removed-step-00000005': {}, 'step-00000006': complete('six') }, 'six'],
    [
      'between both renames of a replacement',
      { '.replaced-step-00000005': complete('old'), '.writing-step-00000005': complete('new') },
      'old',
    ],
    ['after a replacement', { '.replaced-step-00000005': complete('old'), 'step-00000005': complete('new') }, 'new'],
  ];
  for (const [when, layout, expected] of layouts) {
    const dir = t.testdir(layout);
    const latest = await latestCheckpoint(dir);
    t.equal(await contents(latest!.path), expected, when);
    t.notOk(
      (await readdir(dir)).some((name) => name.startsWith('.')),
      `${when}: nothing is left over`,
    );
    await writeFolder(dir, 7, { keep: 1 }, put('seven'));
    t.same(await readdir(dir), ['step-00000007'], `${when}: the next write works`);
  }
});

t.test('other files in the folder are left alone', async (t) => {
  const dir = t.testdir({ 'notes.txt': 'mine', 'step-1': {} });
  await mkdir(join(dir, 'other'));
  await writeFolder(dir, 7, { keep: 1 }, put('seven'));
  await writeFolder(dir, 8, { keep: 1 }, put('eight'));
  t.same((await readdir(dir)).sort(), ['notes.txt', 'other', 'step-00000008', 'step-1']);
  await rename(join(dir, 'step-00000008'), join(dir, 'saved-by-hand'));
  t.equal(await latestCheckpoint(dir), undefined);
});
