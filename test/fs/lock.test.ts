import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { type LockHolder, lockFile, lockFolder, lockHolder } from '../../lib/fs/lock.js';
import { isRunning, markText, ownMark, parseMark } from '../../lib/fs/process.js';

const hasProc = existsSync('/proc/self/stat');

t.test('a lock keeps others out until it is released, and names its holder', async (t) => {
  const dir = t.testdir();
  const lock = await lockFolder(dir, 'apollo-lm train');
  const held = readFileSync(join(dir, lockFile), 'utf8');
  t.match(await lockHolder(dir), { pid: process.pid, host: hostname(), command: 'apollo-lm train' });
  await t.rejects(lockFolder(dir, 'apollo-lm compare'), {
    code: 'BUSY',
    message:
      /is in use by this process itself \(apollo-lm train, since 2.* UTC\)\. Nothing was changed\. Wait until that has ended, close it/,
  });
  t.equal(readFileSync(join(dir, lockFile), 'utf8'), held);
  t.same(readdirSync(dir), [lockFile], 'the one that was refused leaves nothing');
  await lock.release();
  t.same(readdirSync(dir), []);
  t.equal(await lockHolder(dir), undefined);
  await (await lockFolder(dir, 'again')).release();
});

/** A process that lives until it is killed. */
async function sleeper() {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6); console.log("up")'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => child.stdout!.once('data', resolve));
  const stat = hasProc ? readFileSync(`/proc/${child.pid}/stat`, 'latin1') : '';
  const start = hasProc ? Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]) : 0;
  const end = async () => {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  };
  return { pid: child.pid!, start, end };
}

t.test('a process that has ended does not keep its lock, nor does one that got its id later', async (t) => {
  const { pid, start, end } = await sleeper();
  const holder: LockHolder = { host: hostname(), pid, start, command: 'x', since: '2026-01-01T00:00:00Z', id: 'a' };
  const dir = t.testdir({ [lockFile]: JSON.stringify(holder) });
  await t.rejects(lockFolder(dir, 'second'), { code: 'BUSY', message: new RegExp(`process ${pid} \\(x, since 2026`) });
  if (hasProc) {
    const earlier = t.testdir({ [lockFile]: JSON.stringify({ ...holder, start: start - 1 }) });
    await (await lockFolder(earlier, 'second')).release();
    writeFileSync(join(earlier, lockFile), JSON.stringify(holder));
  }
  await end();
  const again = t.testdir({ [lockFile]: JSON.stringify(holder) });
  t.equal(await lockHolder(again), undefined);
  const lock = await lockFolder(again, 'second');
  t.match(await lockHolder(again), { pid: process.pid });
  t.same(readdirSync(again), [lockFile]);
  await lock.release();
});

t.test('a lock of another machine holds while it is renewed', async (t) => {
  const holder = { host: 'elsewhere', pid: 1, start: 0, command: 'x', since: '2026-01-01T00:00:00Z', id: 'a' };
  const dir = t.testdir({ [lockFile]: JSON.stringify(holder) });
  await t.rejects(lockFolder(dir, 'second'), { code: 'BUSY', message: /process 1 on elsewhere/ });
});

t.test('a process is known by machine, id and start', async (t) => {
  const own = ownMark();
  t.ok(isRunning(own));
  t.same(parseMark(markText({ host: 'node-7', pid: 12, start: 34 })), { host: 'node-7', pid: 12, start: 34 });
  t.equal(parseMark('nothing'), undefined);
  t.ok(isRunning({ host: 'elsewhere', pid: 1, start: 1 }), 'of another machine nothing is known');
  t.notOk(isRunning({ host: own.host, pid: 4194303, start: 0 }));
  if (hasProc) t.notOk(isRunning({ ...own, start: own.start + 1 }));
});

t.test('of many that want a lock at once, one gets it', async (t) => {
  const dead = { host: hostname(), pid: 4194303, start: 1, command: 'x', since: '2026-01-01T00:00:00Z', id: 'a' };
  for (const layout of [{}, { [lockFile]: JSON.stringify(dead) }]) {
    const dir = t.testdir(layout);
    const tries = await Promise.allSettled(Array.from({ length: 8 }, (_, i) => lockFolder(dir, `number ${i}`)));
    const got = tries.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    t.equal(got.length, 1);
    await got[0]!.release();
    t.same(readdirSync(dir), []);
  }
});
