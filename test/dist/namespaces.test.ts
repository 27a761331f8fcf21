/** Two network namespaces that stand for hosts: ranks that train over the link between them. */
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { launcherKind } from '../../bench/launcher.js';
import { temporaryFolder } from '../cli/support.js';
import { tinyConfig } from '../cli/tiny.js';
import { plainEnv, typescript } from '../typescript.js';
import { noMpi } from './mpirun.js';

const script = fileURLToPath(new URL('../../scripts/namespaces.sh', import.meta.url));
const main = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url));
const name = `t${process.pid}`;
const sh = (...args: string[]) => spawnSync('bash', [script, ...args], { encoding: 'utf8' });

/** Why there can be no namespaces; false when there are. */
function noNamespaces(): string | false {
  if (noMpi) return noMpi;
  if (launcherKind() !== 'openmpi') return 'scripts/namespaces.sh starts ranks by Open MPI';
  if (process.getuid?.() !== 0) return 'network namespaces require root';
  const { status, stderr, error } = sh('create', name);
  return status === 0 ? false : `no network namespaces here: ${error?.message ?? stderr.trim().split('\n').at(-1)}`;
}

const skip = noNamespaces();
t.teardown(() => {
  if (!skip) sh('remove', name);
});

const folder = temporaryFolder();
const config = tinyConfig(folder, { steps: 40, evaluateEvery: 20 });
const trainArgs = (out: string, ...more: string[]) => ['train', '--config', config, '--out', out, '--json', ...more];

/** One rank in each namespace. */
function start(args: readonly string[]) {
  const command = ['mpirun', name, '-np', '2', process.execPath, ...typescript, main, ...args];
  const child = spawn('bash', [script, ...command], { env: plainEnv, stdio: ['ignore', 'pipe', 'pipe'] });
  const text = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => {
    text.out += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    text.err += chunk;
  });
  const ended = new Promise<number | null>((resolve) => {
    child.on('close', resolve);
  });
  return { child, text, ended };
}

const lossesOf = (out: string) =>
  out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; loss: number })
    .flatMap(({ type, loss }) => (type === 'step' ? [loss] : []));

t.test('two hosts train as one rank does', { skip }, async (t) => {
  const { text, ended } = start(trainArgs(join(folder, 'two')));
  t.equal(await ended, 0, text.err);
  const one = spawnSync(
    process.execPath,
    [...typescript, main, ...trainArgs(join(folder, 'one'), '--accumulation', '2')],
    { encoding: 'utf8', env: plainEnv },
  );
  t.equal(one.status, 0, one.stderr);
  const [ours, theirs] = [lossesOf(text.out), lossesOf(one.stdout)];
  t.equal(ours.length, 40);
  const far = Math.max(...ours.map((loss, step) => Math.abs(loss / theirs[step]! - 1)));
  t.ok(far <= 1e-6, `${far}`);
});

t.test('a host that is cut off ends the run with a message', { skip }, async (t) => {
  const { child, text, ended } = start(trainArgs(join(folder, 'cut'), '--steps', '1000000'));
  while (!text.out.includes('"type":"step"') && child.exitCode === null) await delay(20);
  const cutAt = performance.now();
  t.equal(sh('cut', name, '1').status, 0);
  while (!text.err.includes('has ended without a message') && performance.now() - cutAt < 40_000) await delay(50);
  const seconds = (performance.now() - cutAt) / 1000;
  t.match(text.err, /rank 0 of 2 on .*: Rank 1 on .* has ended without a message/);
  t.ok(seconds < 30, `${seconds.toFixed(1)} s`);
  sh('join', name, '1');
  const code = await Promise.race([ended, delay(30_000, 'still there')]);
  t.ok(typeof code === 'number' && code !== 0, `${code}`);
});
