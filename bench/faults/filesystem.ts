/**
 * Errors of the file system at each operation in turn, by a shim in front of the C library: the command ends right or with
 * one clear error, or is killed there; what was there before is still there, and a resume without the fault gives the
 * undisturbed result.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { complaint, type Ended, hasNothingToResume, node } from './child.js';
import { digestOf, filesOf, leftOvers, writeSettings } from './fixture.js';
import { count, type Part, type Programme, type Tally, tally } from './outcome.js';

const { EACCES, EIO, EMFILE, ENOSPC } = constants.errno;

interface Fault {
  readonly operation: 'open' | 'write' | 'fsync' | 'rename' | 'mkdir' | 'unlink';
  readonly name: string;
  /** 0: a short write; -1: no error, but SIGKILL before the operation. */
  readonly errno: number;
  readonly lasting: boolean;
}

const faultsTried: readonly Fault[] = [
  { operation: 'open', name: 'EACCES at open', errno: EACCES, lasting: false },
  { operation: 'open', name: 'EMFILE at open', errno: EMFILE, lasting: false },
  { operation: 'mkdir', name: 'ENOSPC at mkdir', errno: ENOSPC, lasting: false },
  { operation: 'write', name: 'ENOSPC from a write on (full disk)', errno: ENOSPC, lasting: true },
  { operation: 'write', name: 'a short write', errno: 0, lasting: false },
  { operation: 'write', name: 'EIO at write', errno: EIO, lasting: false },
  { operation: 'fsync', name: 'EIO at fsync', errno: EIO, lasting: false },
  { operation: 'rename', name: 'EACCES at rename', errno: EACCES, lasting: false },
  { operation: 'unlink', name: 'EACCES at unlink', errno: EACCES, lasting: false },
  { operation: 'write', name: 'SIGKILL before a write', errno: -1, lasting: false },
  { operation: 'fsync', name: 'SIGKILL before fsync', errno: -1, lasting: false },
  { operation: 'rename', name: 'SIGKILL before a rename', errno: -1, lasting: false },
  { operation: 'unlink', name: 'SIGKILL before unlink', errno: -1, lasting: false },
];

/** The shim as a shared object; undefined, with the reason, where it cannot be built or preloaded. */
export function buildShim(folder: string): { readonly path?: string; readonly why?: string } {
  if (process.platform !== 'linux') return { why: 'the shim is for Linux' };
  mkdirSync(folder, { recursive: true });
  const path = join(folder, 'shim.so');
  const source = fileURLToPath(new URL('./shim.c', import.meta.url));
  const { status, stderr, error } = spawnSync('cc', ['-shared', '-fPIC', '-O1', '-o', path, source, '-ldl'], {
    encoding: 'utf8',
  });
  return status === 0 ? { path } : { why: error ? 'there is no C compiler (cc)' : stderr };
}

export const filesystem: Part = {
  name: 'filesystem',
  about: 'ENOSPC, EACCES, EIO, EMFILE, short writes and SIGKILL at the file operations of a run, one by one',
  size: 60,
  unit: 'failing operations',
  async run(programme, size) {
    const shim = buildShim(join(programme.work, 'shim'));
    if (!shim.path) return shim.why ?? 'the shim cannot be built';
    const rows: Tally[] = [];
    for (const fault of faultsTried) {
      rows.push(await failing(programme, shim.path, fault, Math.ceil(size / faultsTried.length)));
    }
    return rows;
  },
};

async function failing(
  { work, cli, signal, say }: Programme,
  shim: string,
  fault: Fault,
  size: number,
): Promise<Tally> {
  const row = tally('filesystem', fault.name);
  const base = join(work, `filesystem-${fault.name.replaceAll(/\W+/g, '-')}`);
  const settings = writeSettings(base, { steps: 12, checkpointEvery: 4 });
  const prepared = join(base, 'prepared');
  const result = (out: string) =>
    digestOf(
      out,
      filesOf(out).filter((name) => /step-00000012\/(model|optimizer)\.safetensors$/.test(name)),
    );
  const train = (out: string, at: number, more: Record<string, string> = {}): Promise<Ended> =>
    node([cli, 'train', '--config', settings, '--cache', join(out, 'cache'), '--out', join(out, 'run')], {
      timeoutMs: 120e3,
      env: {
        LD_PRELOAD: shim,
        APOLLO_FAULT_PREFIX: out,
        APOLLO_FAULT_OP: fault.operation,
        APOLLO_FAULT_AT: String(at),
        APOLLO_FAULT_ERRNO: String(fault.errno),
        APOLLO_FAULT_LASTING: fault.lasting ? '1' : '0',
        ...more,
      },
    });
  // Once without a fault: the result, and how many operations there are.
  const whole = join(base, 'whole');
  const counter = join(base, 'count');
  mkdirSync(whole, { recursive: true });
  const undisturbed = await train(whole, 0, { APOLLO_FAULT_COUNT: counter });
  const calls = existsSync(counter) ? Number(readFileSync(counter, 'utf8')) : 0;
  if (undisturbed.code !== 0) {
    count(row, 'crash', `without a fault: ${complaint(undisturbed) ?? undisturbed.stderr.slice(-300)}`);
    return row;
  }
  const expected = result(join(whole, 'run'));
  cpSync(join(whole, 'cache'), prepared, { recursive: true });
  const step = Math.max(1, Math.floor(calls / size));
  for (let at = 1; at <= calls && !(signal.aborted && (at > 1 || fault !== faultsTried[0])); at += step) {
    const out = join(base, `at-${at}`);
    mkdirSync(out, { recursive: true });
    const ended = await train(out, at);
    const what = `operation ${at} of ${calls}`;
    const bad = fault.errno < 0 && ended.signal === 'SIGKILL' ? undefined : complaint(ended);
    if (bad) count(row, 'crash', `${what}: ${bad}`);
    else if (ended.code === 0 && existsSync(join(out, 'run', 'checkpoints')) && result(join(out, 'run')) === expected) {
      row.counts.right++;
    } else if (ended.code === 0) count(row, 'wrong', `${what}: ended well with another result`);
    else {
      // The user mends the cause and gives the command again.
      const kept = existsSync(join(out, 'run', 'settings.json'));
      const again = kept ? ['--resume'] : ['--config', settings, '--cache', join(out, 'cache')];
      let run = join(out, 'run');
      let next = await node([cli, 'train', ...again, '--out', run]);
      if (hasNothingToResume(next)) {
        run = `${run}-2`;
        next = await node([cli, 'train', '--config', settings, '--cache', join(out, 'cache'), '--out', run]);
      }
      const wrong =
        complaint(next) ?? (next.code !== 0 ? `the next call: ${next.stderr.trim().slice(-300)}` : undefined);
      if (wrong) count(row, 'crash', `${what}, then again: ${wrong}`);
      else if (result(run) !== expected) count(row, 'wrong', `${what}, then again: another result`);
      else {
        // A run that another one took the place of is its user's to remove.
        const left = [run, join(out, 'cache')].flatMap(leftOvers);
        if (left.length > 0) count(row, 'left', `${what}: ${left.join(', ')}`);
        else row.counts.refused++;
      }
    }
    rmSync(out, { recursive: true });
  }
  row.note = `${calls} operations in a run`;
  say(`${fault.name}: ${calls} operations, every ${step}.`);
  return row;
}
