/** The command line as a process of its own: its signals, and readers of its output that go away. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { run } from '../../lib/cli/run.js';
import { engineMissing, memoryIo, temporaryFolder } from './support.js';
import { tinyConfig } from './tiny.js';

const skip = engineMissing();
const linux = process.platform === 'linux';
const script = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url));
// The hooks that load TypeScript, without those by which the test runner keeps book of processes.
const execArgv = process.execArgv.filter((argument) => argument.includes('@tapjs/typescript'));
const { NODE_OPTIONS: _, ...inherited } = process.env;
const env = { ...inherited, TS_NODE_TRANSPILE_ONLY: '1' };

interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly out: string;
  readonly err: string;
}

/** Starts `apollo-lm ARGS`; `through` is a program that starts it: nohup. */
function start(args: readonly string[], options: { through?: string[]; stdout?: number; env?: object } = {}) {
  const [command, ...before] = [...(options.through ?? []), process.execPath];
  const child = spawn(command!, [...before, ...execArgv, script, ...args], {
    stdio: ['ignore', options.stdout ?? 'pipe', 'pipe'],
    env: { ...env, ...options.env },
  });
  let out = '';
  let err = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    out += chunk;
  });
  child.stderr!.on('data', (chunk: Buffer) => {
    err += chunk;
  });
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal, out, err }));
  });
  /** Resolves when stdout has shown `text`. */
  const shows = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => out.includes(text) && resolve();
      child.stdout!.on('data', look);
      child.on('exit', () => reject(new Error(`ended without "${text}": ${err}`)));
    });
  return { child, ended, shows };
}

const folder = temporaryFolder();
const config = tinyConfig(folder, { steps: 400, evalEvery: 200 });
const whole = join(folder, 'whole');
const stepsOf = (path: string) => readdirSync(join(path, 'checkpoints')).sort();
const weightsOf = (path: string) => readFileSync(join(path, 'checkpoints/step-00000400/model.safetensors'));

/** Resumes a run and compares its weights with those of one that was never stopped. */
async function resumesToSameBits(t: Test, out: string): Promise<void> {
  const io = memoryIo();
  t.equal(await run(['train', '--resume', '--out', out], io), 0, io.err());
  if (!existsSync(whole)) t.equal(await run(['train', '--config', config, '--out', whole], memoryIo()), 0);
  t.ok(weightsOf(out).equals(weightsOf(whole)), 'the same bits as an uncut run');
}

const training = (out: string) => ['train', '--config', config, '--out', out, '--json'];

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  t.test(`${signal} stops a run with a checkpoint`, { skip }, async (t) => {
    const out = join(folder, signal);
    const { child, ended, shows } = start(training(out));
    await shows('"type":"step"');
    child.kill(signal);
    const { code, err } = await ended;
    t.equal(code, 130, err);
    t.equal(stepsOf(out).length, 1);
    await resumesToSameBits(t, out);
  });
}

t.test('SIGHUP is ignored below nohup', { skip: skip || (linux ? false : 'needs /proc') }, async (t) => {
  const out = join(folder, 'nohup');
  // A shell sets _ for the program that it starts.
  const { child, ended, shows } = start(training(out), { through: ['nohup'], env: { _: '/usr/bin/nohup' } });
  await shows('"type":"step"');
  child.kill('SIGHUP');
  const { code, err, out: text } = await ended;
  t.equal(code, 0, err);
  t.match(text, /"type":"done".*"complete":true/);
});

t.test('a reader of --json that goes away stops the run with a checkpoint', { skip }, async (t) => {
  const out = join(folder, 'head');
  const { child, ended, shows } = start(training(out));
  await shows('"type":"start"');
  child.stdout!.destroy();
  const { code, signal, err } = await ended;
  t.same({ code, signal }, { code: 141, signal: null }, err);
  t.match(err, /The reader of stdout has closed it, so the run stops: .*checkpoint/);
  t.match(err, /Stopped\. Resume with: .* train --resume --out /);
  t.notMatch(err, /EPIPE|at .*\.ts|node:/, 'no stack');
  await resumesToSameBits(t, out);
});

t.test('a reader of stderr that goes away does not end the run', { skip }, async (t) => {
  const out = join(folder, 'stderr');
  const { child, ended } = start(['train', '--config', config, '--out', out]);
  child.stderr!.once('data', () => child.stderr!.destroy());
  const { code } = await ended;
  t.equal(code, 0);
  t.same(stepsOf(out), ['step-00000400']);
});

const full = linux && existsSync('/dev/full') ? false : 'needs /dev/full';

t.test(
  'stdout on a full disk: a run is complete, and its exit code says that output is lost',
  { skip: skip || full },
  async (t) => {
    const out = join(folder, 'full');
    const { ended } = start(training(out), { stdout: openSync('/dev/full', 'w') });
    const { code, err } = await ended;
    t.equal(code, 1);
    t.match(err, /warning: Nothing more can be written to stdout: no space is left on the disk \(ENOSPC\)/);
    t.match(err, /apollo-lm: The output cannot be written to stdout: no space is left on the disk \(ENOSPC\)\./);
    t.same(stepsOf(out), ['step-00000400']);
  },
);

t.test('short commands end silently when their reader has gone, and say when a disk is full', { skip }, async (t) => {
  await run(['train', '--config', config, '--out', whole], memoryIo());
  const closes = (child: ChildProcess) => child.stdout!.destroy();
  const text = start(['generate', '--model', whole, '--prompt', 'the', '--max-tokens', '12', '--threads', '1']);
  text.child.stdout!.once('data', () => closes(text.child));
  const help = start(['--help']);
  closes(help.child);
  for (const { ended } of [text, help]) {
    const { code, err } = await ended;
    t.same({ code, err: err.replace(/.* tokens; the first after .*\n/, '') }, { code: 0, err: '' });
  }
  if (full) return;
  const { code, err } = await start(['--help'], { stdout: openSync('/dev/full', 'w') }).ended;
  t.equal(code, 1);
  t.match(err, /^apollo-lm: The output cannot be written to stdout: .*\(ENOSPC\)\.\n$/);
});
