/** Ranks as processes of their own, started by mpirun. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadAddon } from '../../lib/engine/native.js';
import { plainEnv, typescript } from '../typescript.js';

const child = fileURLToPath(new URL('./rank-child.ts', import.meta.url));

function missing(): string | false {
  if (spawnSync('mpirun', ['--version']).status !== 0) return 'there is no mpirun (Debian: openmpi-bin)';
  try {
    return loadAddon().mpiInfo().missing ?? false;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Why no ranks can be started; false when they can. What tap takes as `skip`. */
export const noMpi = missing();

/** Ranks share the machine with other tests, whatever its cores. */
const options = ['--oversubscribe', '--allow-run-as-root', '--bind-to', 'none'];

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Starts `ranks` processes of `script ARGS`. */
export function startRanks(ranks: number, script: string, args: readonly string[]) {
  const command = [...options, '-np', String(ranks), process.execPath, ...typescript, script, ...args];
  const mpirun = spawn('mpirun', command, { stdio: ['ignore', 'pipe', 'pipe'], env: plainEnv });
  const text = { out: '', err: '' };
  mpirun.stdout.on('data', (chunk: Buffer) => {
    text.out += chunk;
  });
  mpirun.stderr.on('data', (chunk: Buffer) => {
    text.err += chunk;
  });
  const ended = new Promise<Ended>((resolve) => {
    mpirun.on('close', (code) => resolve({ code, ...text }));
  });
  return { mpirun, ended, text };
}

/** What a rank reports of the task 'train'. */
export interface Trained {
  readonly lines: readonly string[];
  readonly losses: readonly number[];
  /** That all ranks have sent so far, and in each step. */
  readonly bytes: readonly number[];
  readonly bytesOfSteps: readonly number[];
  readonly warnings: readonly string[];
  readonly contents?: string;
  readonly checkpoint?: string;
  readonly saved: readonly number[];
  readonly tokens: number;
  readonly flopsExecuted: number;
}

/** Runs a task of rank-child.ts on every rank; what each of them has written, by rank, and how they ended. */
export async function runRanks<Result>(
  ranks: number,
  folder: string,
  task: Readonly<Record<string, unknown>>,
): Promise<Ended & { readonly results: Result[] }> {
  mkdirSync(folder, { recursive: true });
  const ended = await startRanks(ranks, child, [JSON.stringify({ ...task, folder })]).ended;
  const results = Array.from({ length: ended.code === 0 ? ranks : 0 }, (_, rank) =>
    JSON.parse(readFileSync(join(folder, `rank-${rank}.json`), 'utf8')),
  ) as Result[];
  return { ...ended, results };
}
