/** The command line as a process of its own, for the tests of signals and of readers that go away. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { run } from '../../lib/cli/run.js';
import { plainEnv, typescript } from '../typescript.js';
import { memoryIo, temporaryFolder } from './support.js';
import { tinyConfig } from './tiny.js';

const script = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly out: string;
  readonly err: string;
}

/** Starts `apollo-lm ARGS`; `through` is a program that starts it: nohup. */
export function start(args: readonly string[], options: { through?: string[]; stdout?: number; env?: object } = {}) {
  const [command, ...before] = [...(options.through ?? []), process.execPath];
  const child = spawn(command!, [...before, ...typescript, script, ...args], {
    stdio: ['ignore', options.stdout ?? 'pipe', 'pipe'],
    env: { ...plainEnv, ...options.env },
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

export const folder = temporaryFolder();
export const config = tinyConfig(folder, { steps: 400, evaluateEvery: 200 });
export const whole = join(folder, 'whole');
export const stepsOf = (path: string) => readdirSync(join(path, 'checkpoints')).sort();
const weightsOf = (path: string) => readFileSync(join(path, 'checkpoints/step-00000400/model.safetensors'));

/** Resumes a run and compares its weights with those of one that was never stopped. */
export async function resumesToSameBits(t: Test, out: string): Promise<void> {
  const io = memoryIo();
  t.equal(await run(['train', '--resume', '--out', out], io), 0, io.err());
  if (!existsSync(whole)) t.equal(await run(['train', '--config', config, '--out', whole], memoryIo()), 0);
  t.ok(weightsOf(out).equals(weightsOf(whole)), 'the same bits as an uncut run');
}

export const training = (out: string) => ['train', '--config', config, '--out', out, '--json'];
