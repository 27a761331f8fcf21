import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, realpathSync, symlinkSync } from 'node:fs';
import { rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../lib/cli/run.js';
import { Cache } from '../../lib/data/corpus/cache.js';
import { makeFolder } from '../../lib/fs/make-folder.js';
import { writeWholeFile } from '../../lib/fs/whole-file.js';
import { writeWholeFolder } from '../../lib/fs/whole-folder.js';
import { memoryIo } from '../cli/support.js';
import { tinyConfig } from '../cli/tiny.js';

t.test('makes what is missing, and says which was the topmost', async (t) => {
  const dir = t.testdir({ there: {} });
  t.equal(await makeFolder(join(dir, 'a/b/c')), join(dir, 'a'));
  t.equal(await makeFolder(join(dir, 'a/b/c')), undefined);
  t.equal(await makeFolder(join(dir, 'a/b/../d')), join(dir, 'a/b/../d'));
  t.ok(existsSync(join(dir, 'a/d')));
  symlinkSync('there', join(dir, 'link'));
  t.equal(await makeFolder(join(dir, 'link/x/')), join(dir, 'link/x/'));
  t.ok(existsSync(join(dir, 'there/x')));
  t.equal(await makeFolder('.'), undefined);
});

t.test('several may make the same folders at once', async (t) => {
  const dir = t.testdir();
  const made = await Promise.all(Array.from({ length: 20 }, (_, i) => makeFolder(join(dir, 'a/b/c', String(i % 4)))));
  t.equal(made.filter((first) => first === join(dir, 'a')).length, 1);
  for (let i = 0; i < 4; i++) t.ok(existsSync(join(dir, 'a/b/c', String(i))));
});

t.test('one that another removes meanwhile is made again', async (t) => {
  const dir = t.testdir();
  const remove = async () => {
    for (let i = 0; i < 50; i++) for (const name of ['a/b', 'a']) await rmdir(join(dir, name)).catch(() => {}); // not there, or not empty
  };
  const make = async () => {
    for (let i = 0; i < 50; i++) await makeFolder(join(dir, 'a/b'));
  };
  await t.resolves(Promise.all([remove(), make(), make()]));
});

t.test('the error is that of the system, and names the folder that could not be made', async (t) => {
  const dir = t.testdir({ file: 'x' });
  await t.rejects(makeFolder(join(dir, 'file/b/c')), { code: 'ENOTDIR', path: join(dir, 'file/b') });
  await t.rejects(makeFolder(join(dir, 'file')), { code: 'EEXIST', path: join(dir, 'file') });
  symlinkSync('nowhere', join(dir, 'dangling'));
  await t.rejects(makeFolder(join(dir, 'dangling/b')), { code: 'EEXIST', path: join(dir, 'dangling') });
  await t.rejects(makeFolder(join(dir, `a/${'x'.repeat(300)}/c`)), { code: 'ENAMETOOLONG' });
  await t.rejects(makeFolder(''), { code: 'ENOENT' });
});

const noProc = existsSync('/proc/self') ? false : 'this system has no /proc';
t.test('where the system makes no folders it says so at once', { skip: noProc }, async (t) => {
  await t.rejects(makeFolder('/proc/nope/below'), { code: 'ENOENT', path: '/proc/nope' });
  const said = /\/proc\/nope.*there is no such file or folder \(ENOENT\)/;
  await t.rejects(writeWholeFile('/proc/nope/a.json', '', 'The report'), { message: said });
  await t.rejects(
    writeWholeFolder('/proc/nope/model', 'The model', async () => {}),
    { message: said },
  );
  await t.rejects(Cache.open('/proc/nope'), { message: said });
  const io = memoryIo();
  t.equal(await run(['train', '--config', tinyConfig(t.testdir()), '--out', '/proc/nope'], io), 1);
  t.match(io.err(), said);
});

t.test('a read-only file system is called that', async (t) => {
  const dir = realpathSync(t.testdir({ ro: {} }));
  const ro = join(dir, 'ro');
  const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'ro,size=64k', 'tmpfs', ro]);
  if (mount.status !== 0) return t.plan(0, 'no file system can be mounted here');
  try {
    const said = /the file system is read-only \(EROFS\)/;
    await t.rejects(makeFolder(join(ro, 'x/y')), { code: 'EROFS', path: join(ro, 'x') });
    await t.rejects(writeWholeFile(join(ro, 'x/a.json'), '', 'The report'), { message: said });
    await t.rejects(Cache.open(join(ro, 'x')), { message: said });
    const io = memoryIo();
    mkdirSync(join(dir, 'work'));
    t.equal(await run(['train', '--config', tinyConfig(join(dir, 'work')), '--out', join(ro, 'x/run')], io), 1);
    t.match(io.err(), said);
  } finally {
    spawnSync('umount', [ro]);
  }
});
