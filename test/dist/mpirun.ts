/** Ranks as separate processes, started by mpirun or by what APOLLO_MPIEXEC names, or one by one. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Ended, type Launched, launch, launcherKind, mpiexec } from '../../bench/launcher.js';
import { loadAddon } from '../../lib/engine/native.js';
import { plainEnv, typescript } from '../typescript.js';

export const child = fileURLToPath(new URL('./rank-child.ts', import.meta.url));

function missing(): string | false {
  if (!launcherKind())
    return `there is no ${mpiexec} (Debian: openmpi-bin, or mpich with APOLLO_MPIEXEC=mpiexec.mpich)`;
  try {
    return loadAddon().mpiInfo().missing ?? false;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Why no ranks can be started; false when they can. What tap takes as `skip`. */
export const noMpi = missing();

const commandOf = (script: string, args: readonly string[]) => [process.execPath, ...typescript, script, ...args];

/** Starts `ranks` processes of `script ARGS`. `env`: variables next to those of this process. */
export function startRanks(
  ranks: number,
  script: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Launched {
  return launch([{ ranks, command: commandOf(script, args) }], { ...plainEnv, ...env });
}

/** Report of a rank for the task 'train'. */
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

/** Starts a rank for each list of arguments of `script`. */
export function startUnlike(script: string, args: readonly (readonly string[])[]): Launched {
  return launch(
    args.map((own) => ({ ranks: 1, command: commandOf(script, own) })),
    plainEnv,
  );
}

/** Waits until ranks have printed `part`. @throws Error with what they said when they end before. */
export async function untilPrinted(part: string, { mpirun, text, ended }: Launched): Promise<void> {
  while (!text.out.includes(part)) {
    if (mpirun.exitCode === null) await setTimeout(5);
    else if (!(await ended).out.includes(part)) throw new Error(`the ranks ended without ${part}: ${text.err}`);
  }
}

/** Runs a task of rank-child.ts, or of another script, on every rank; what each of them has written, by rank, and how they ended. */
export async function runRanks<Result>(
  ranks: number,
  folder: string,
  task: Readonly<Record<string, unknown>>,
  { script = child, env = {} }: { readonly script?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Ended & { readonly results: Result[] }> {
  mkdirSync(folder, { recursive: true });
  const ended = await startRanks(ranks, script, [JSON.stringify({ ...task, folder })], env).ended;
  return { ...ended, results: resultsOf(ranks, folder, ended.code === 0) };
}

function resultsOf<Result>(ranks: number, folder: string, are: boolean): Result[] {
  return Array.from({ length: are ? ranks : 0 }, (_, rank) =>
    JSON.parse(readFileSync(join(folder, `rank-${rank}.json`), 'utf8')),
  ) as Result[];
}

export interface Process {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

/** One process of `script ARGS`, as torchrun starts them: with these variables and nothing of MPI's. */
export function startProcess(script: string, args: readonly string[], env: NodeJS.ProcessEnv): Process {
  const process_ = spawn(process.execPath, [...typescript, script, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...plainEnv, ...env },
  });
  const startedAt = performance.now();
  const text = { out: '', err: '' };
  process_.stdout.on('data', (chunk: Buffer) => {
    text.out += chunk;
  });
  process_.stderr.on('data', (chunk: Buffer) => {
    text.err += chunk;
  });
  const ended = new Promise<Ended>((resolve) => {
    process_.on('close', (code) => resolve({ code, ...text, ms: performance.now() - startedAt }));
  });
  return { child: process_, ended };
}

/** Variables that torchrun sets for a rank of this machine. */
export const torchrunEnv = (rank: number, size: number, port: number): NodeJS.ProcessEnv => ({
  RANK: String(rank),
  WORLD_SIZE: String(size),
  LOCAL_RANK: String(rank),
  MASTER_ADDR: '127.0.0.1',
  MASTER_PORT: String(port),
});

/** As runRanks, without MPI. */
export async function runWithoutMpi<Result>(
  ranks: number,
  folder: string,
  task: Readonly<Record<string, unknown>>,
  env: NodeJS.ProcessEnv = {},
): Promise<Ended & { readonly results: Result[] }> {
  mkdirSync(folder, { recursive: true });
  const port = await freePort();
  const args = [JSON.stringify({ ...task, folder })];
  const all = Array.from({ length: ranks }, (_, rank) =>
    startProcess(child, args, { ...torchrunEnv(rank, ranks, port), ...env }),
  );
  const ends = await Promise.all(all.map(({ ended }) => ended));
  const code = ends.find((end) => end.code !== 0)?.code ?? 0;
  const texts = { out: ends.map(({ out }) => out).join(''), err: ends.map(({ err }) => err).join('') };
  const ms = Math.max(...ends.map((end) => end.ms));
  return { code, ms, ...texts, results: resultsOf(ranks, folder, code === 0) };
}

/** A port that nobody listens at. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
