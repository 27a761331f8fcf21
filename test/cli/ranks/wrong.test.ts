/** Ranks that do not belong together, or of which one cannot work: one clear error, no rank that waits endlessly. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { launch } from '../../../bench/launcher.js';
import { noMpi, startUnlike } from '../../dist/mpirun.js';
import { plainEnv } from '../../typescript.js';
import { temporaryFolder } from '../support.js';
import { tinyConfig } from '../tiny.js';

t.jobs = 3; // most of the time they wait for each other

const root = fileURLToPath(new URL('../../..', import.meta.url));
const main = join(root, 'lib/cli/main.ts');
const folder = temporaryFolder();
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

/** A folder with the tiny settings and its text. */
function site(name: string, changes: Readonly<Record<string, unknown>> = {}): string {
  const own = join(folder, name);
  mkdirSync(own);
  return tinyConfig(own, { steps: 20, evaluateEvery: 10, ...changes });
}

const trainWith = (config: string, out: string, ...more: readonly string[]) => [
  'train',
  ...['--config', config, '--out', join(folder, out), '--json'],
  ...more,
];

/** Checks the end of ranks of which one is wrong: `says` is what the one message says. */
function checkEnd(t: Test, { code, err, ms }: { code: number | null; err: string; ms: number }, says: RegExp) {
  t.not(code, 0, 'the exit code');
  t.ok(ms < 60_000, `they end, after ${(ms / 1000).toFixed(1)} s`);
  t.equal(err.match(/^apollo-lm: /gm)?.length, 1, err);
  t.match(err, says);
  t.notMatch(err, /\n {4}at |defect/);
}

t.test('a rank without the text', { skip: noMpi }, async (t) => {
  const [whole, without] = [site('whole'), site('without')];
  rmSync(join(folder, 'without', 'text.txt'));
  const ended = await startUnlike(main, [trainWith(whole, 'a'), trainWith(without, 'a')]).ended;
  checkEnd(t, ended, /apollo-lm: rank 1 of 2 on .*text\.txt/);
  t.notOk(existsSync(join(folder, 'a')), 'a run that has not started leaves no folder');
});

t.test('the first rank without the text', { skip: noMpi }, async (t) => {
  const [whole, without] = [site('whole-1'), site('without-0')];
  rmSync(join(folder, 'without-0', 'text.txt'));
  const ended = await startUnlike(main, [trainWith(without, 'b'), trainWith(whole, 'b')]).ended;
  checkEnd(t, ended, /apollo-lm: rank 0 of 2 on .*text\.txt/);
});

t.test('a rank with other text', { skip: noMpi }, async (t) => {
  const [one, other] = [site('one-text'), site('other-text')];
  const text = join(folder, 'other-text', 'text.txt');
  writeFileSync(text, `${readFileSync(text, 'utf8')} more words of another text`);
  const ended = await startUnlike(main, [trainWith(one, 'c'), trainWith(other, 'c')]).ended;
  checkEnd(t, ended, /rank 1 of 2 on .*: This rank was started with other settings than rank 0:\n {2}corpus/);
});

t.test('a rank with other settings', { skip: noMpi }, async (t) => {
  const config = site('settings');
  const ended = await startUnlike(main, [trainWith(config, 'd'), trainWith(config, 'd', '--learning-rate', '0.25')])
    .ended;
  checkEnd(
    t,
    ended,
    /rank 1 of 2 on .*: This rank was started with other settings than rank 0:\n.*0\.25, on rank 0 0\.005/,
  );
});

t.test('a rank with another version of the package', { skip: noMpi }, async (t) => {
  const built = join(root, 'dist/cli/main.js');
  if (!existsSync(built)) return t.pass('a built package', { skip: 'dist is not built' });
  const other = join(folder, 'package');
  mkdirSync(other);
  cpSync(join(root, 'dist'), join(other, 'dist'), { recursive: true });
  for (const name of ['build', 'node_modules', 'data']) symlinkSync(join(root, name), join(other, name));
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  writeFileSync(join(other, 'package.json'), JSON.stringify({ ...manifest, version: '9.8.7' }));
  const config = site('version');
  const command = (script: string) => [process.execPath, script, ...trainWith(config, 'e')];
  const blocks = [built, join(other, 'dist/cli/main.js')].map((script) => ({ ranks: 1, command: command(script) }));
  const ended = await launch(blocks, plainEnv).ended;
  checkEnd(
    t,
    ended,
    new RegExp(`rank 1 of 2 on .*: This rank runs apollo-lm 9\\.8\\.7 .*rank 0 runs apollo-lm ${manifest.version}`),
  );
});

const mounted: string[] = [];
t.teardown(() => {
  for (const path of mounted) spawnSync('umount', [path]);
});

/** A file system with this capacity. */
function smallDisk(name: string, size: number): string | undefined {
  const path = join(folder, name);
  mkdirSync(path);
  if (process.getuid?.() !== 0) return undefined;
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}k`, 'tmpfs', path]).status !== 0) return undefined;
  mounted.push(path);
  return path;
}

t.test('the disk of the run is full', { skip: noMpi }, async (t) => {
  const disk = smallDisk('full-run', 256);
  if (!disk) return t.pass('a small disk', { skip: 'it takes root and a tmpfs' });
  const config = site('full', { checkpointEvery: 5 });
  const args = ['train', '--config', config, '--out', join(disk, 'run'), '--json'];
  const ended = await startUnlike(main, [args, args]).ended;
  checkEnd(t, ended, /rank 0 of 2 on .*(ENOSPC|no space|full)/i);
});

t.test('the disk of a rank’s cache is full', { skip: noMpi }, async (t) => {
  const disk = smallDisk('full-cache', 8);
  if (!disk) return t.pass('a small disk', { skip: 'it takes root and a tmpfs' });
  const config = site('cache');
  const ended = await startUnlike(main, [
    trainWith(config, 'f'),
    trainWith(config, 'f', '--cache', join(disk, 'cache')),
  ]).ended;
  checkEnd(t, ended, /rank 1 of 2 on .*(ENOSPC|no space|full)/i);
});
