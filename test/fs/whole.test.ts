import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { lockFolder } from '../../lib/fs/lock.js';
import {
  openWholeFile,
  removeUnfinishedFiles,
  setFileAside,
  writeWholeFile,
  writeWholeFiles,
} from '../../lib/fs/whole-file.js';
import { recoverFolder, removeWholeFolder, waitingPath, writeWholeFolder } from '../../lib/fs/whole-folder.js';

const text = (path: string) => readFileSync(path, 'utf8');

t.test('a file takes its place whole, in a folder that is made', async (t) => {
  const dir = t.testdir();
  const path = join(dir, 'new/a.json');
  await writeWholeFile(path, 'one', 'The file');
  await writeWholeFile(path, 'two', 'The file');
  t.equal(text(path), 'two');
  t.same(readdirSync(join(dir, 'new')), ['a.json']);
});

t.test('of files that belong together none changes when one cannot be written', async (t) => {
  const dir = t.testdir({ 'a.txt': 'old', taken: { inside: 'x' }, file: 'x' });
  const files = [
    { path: join(dir, 'a.txt'), content: 'new' },
    { path: join(dir, 'file/b.txt'), content: 'new' },
  ];
  await t.rejects(writeWholeFiles(files, 'The tokenizer'), {
    code: 'FILE_SYSTEM',
    message: /^The tokenizer cannot be written: .*file\/b\.txt/,
  });
  t.equal(text(join(dir, 'a.txt')), 'old');
  await t.rejects(writeWholeFile(join(dir, 'taken'), 'x', 'The file'), { message: /\((EISDIR|ENOTEMPTY|EEXIST)\)/ });
  t.same(readdirSync(dir).sort(), ['a.txt', 'file', 'taken'], 'nothing else is left');
});

t.test('unfinished files of processes that have ended go, while others make and move folders there', async (t) => {
  const left = `.writing-${hostname()}-4194399-1-0123456789ab-a.txt`;
  const living = `.writing-${hostname()}-${process.pid}-0-0123456789ab-a.txt`;
  const dir = t.testdir({ [left]: 'x', [living]: 'x', below: { [left]: 'x', 'a.txt': 'x' } });
  let isDone = false;
  const other = async (name: string) => {
    const [making, whole] = [join(dir, `.making-${name}`), join(dir, name)];
    while (!isDone) {
      await mkdir(making);
      await rename(making, whole);
      await rm(whole, { recursive: true });
    }
  };
  const others = Promise.all(['one', 'two', 'three'].map(other));
  for (let i = 0; i < 300; i++) await removeUnfinishedFiles(dir);
  isDone = true;
  await others;
  t.same(readdirSync(dir).sort(), [living, 'below']);
  t.same(readdirSync(join(dir, 'below')), ['a.txt']);
});

t.test('a file that is continued keeps its predecessor until its beginning is written', async (t) => {
  const dir = t.testdir({ 'log.txt': 'before' });
  const path = join(dir, 'log.txt');
  await t.rejects(
    openWholeFile(path, 'The log', async (handle) => {
      await handle.appendFile('half');
      throw new Error('cut');
    }),
    { message: 'cut' },
  );
  t.equal(text(path), 'before');
  const handle = await openWholeFile(path, 'The log', async (begun) => begun.appendFile('after'));
  await handle.appendFile(', more');
  await handle.close();
  t.equal(text(path), 'after, more');
  t.equal(await setFileAside(path, 'The log'), join(dir, 'log-1.txt'));
  writeFileSync(path, 'third');
  t.equal(await setFileAside(path, 'The log'), join(dir, 'log-2.txt'));
  t.same(readdirSync(dir).sort(), ['log-1.txt', 'log-2.txt']);
});

const put = (content: string) => (folder: string) => writeFile(join(folder, 'state'), content);

t.test('a folder is replaced whole, and what is to stay in it stays', async (t) => {
  const dir = t.testdir();
  const path = join(dir, 'model');
  await writeWholeFolder(path, 'The model', put('one'));
  writeFileSync(join(path, 'README'), 'mine');
  writeFileSync(join(path, 'old'), 'goes');
  await writeWholeFolder(path, 'The model', put('two'), (entry) => entry === 'README');
  t.equal(text(join(path, 'state')), 'two');
  t.same(readdirSync(path).sort(), ['README', 'state']);
  await t.rejects(
    writeWholeFolder(path, 'The model', async (folder) => {
      await put('three')(folder);
      throw new Error('stopped');
    }),
    { message: 'stopped' },
  );
  t.equal(text(join(path, 'state')), 'two');
  t.same(readdirSync(dir), ['model']);
  await t.rejects(writeWholeFolder('', 'The model', put('x')), { code: 'FILE_SYSTEM', message: /name .* is empty/ });
  await removeWholeFolder(path);
  t.same(readdirSync(dir), []);
});

t.test('wherever a process dies while it replaces a folder, the old or the new one is found', async (t) => {
  const ended = `.writing-${hostname()}-4194303-1-0123456789ab-model`;
  for (const [when, make, expected] of [
    ['while it writes', (dir: string) => mkdirSync(join(dir, ended)), 'old'],
    [
      'between the two renames',
      (dir: string) => renameSync(join(dir, 'model'), waitingPath(join(dir, 'model'))),
      'old',
    ],
    [
      'before the old one is removed',
      (dir: string) => {
        renameSync(join(dir, 'model'), waitingPath(join(dir, 'model')));
        mkdirSync(join(dir, 'model'));
        writeFileSync(join(dir, 'model/state'), 'new');
      },
      'new',
    ],
  ] as const) {
    const dir = t.testdir({ model: { state: 'old', mine: 'x' }, '.writing-other': {}, 'my.txt': 'x' });
    make(dir);
    t.ok(existsSync(join(dir, 'model/state')) || existsSync(join(waitingPath(join(dir, 'model')), 'state')), when);
    await recoverFolder(join(dir, 'model'), (entry) => entry === 'mine');
    t.equal(text(join(dir, 'model/state')), expected, when);
    t.equal(text(join(dir, 'model/mine')), 'x', `${when}: what is to stay stays`);
    t.same(readdirSync(dir).sort(), ['.writing-other', 'model', 'my.txt'], `${when}: nothing else is touched`);
  }
});

t.test('who takes the lock of a folder removes the unfinished files of processes that have ended', async (t) => {
  const unfinished = (pid: number, start: number) =>
    `.writing-${hostname()}-${pid}-${start}-0123456789ab-settings.json`;
  const running = unfinished(process.pid, 0);
  const ended = { [unfinished(4194303, 1)]: '{' };
  const dir = t.testdir({ ...ended, [running]: '{', '.writing-mine': 'x', 'my.txt': 'x', seed: { ...ended, x: '' } });
  const lock = await lockFolder(dir, 'test');
  t.same(readdirSync(dir).sort(), [running, '.writing-mine', 'my.txt', 'run.lock', 'seed'].sort());
  t.same(readdirSync(join(dir, 'seed')), ['x']);
  await lock.release();
});
