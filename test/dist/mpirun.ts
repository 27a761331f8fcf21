/** Ranks as processes of their own, started by mpirun or one by one. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadAddon } from '../../lib/engine/native.js';
import { plainEnv, typescript } from '../typescript.js';

export const child = fileURLToPath(new URL('./rank-child.ts', import.meta.url));

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

/** Starts `ranks` processes of `script ARGS`. `env`: variables beside those of this process. */
export function startRanks(ranks: number, script: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const command = [...options, '-np', String(ranks), process.execPath, ...typescript, script, ...args];
  const mpirun = spawn('mpirun', command, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...plainEnv, ...env } });
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

/** Runs a task of rank-child.ts on every rank; what each of them has written, by rank, and how they ended. */
export async function runRanks<Result>(
  ranks: number,
  folder: string,
  task: Readonly<Record<string, unknown>>,
  env: NodeJS.ProcessEnv = {},
): Promise<Ended & { readonly results: Result[] }> {
  mkdirSync(folder, { recursive: true });
  const ended = await startRanks(ranks, child, [JSON.stringify({ ...task, folder })], env).ended;
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
  const text = { out: '', err: '' };
  process_.stdout.on('data', (chunk: Buffer) => {
    text.out += chunk;
  });
  process_.stderr.on('data', (chunk: Buffer) => {
    text.err += chunk;
  });
  const ended = new Promise<Ended>((resolve) => {
    process_.on('close', (code) => resolve({ code, ...text }));
  });
  return { child: process_, ended };
}

/** What torchrun sets for a rank of this machine. */
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
  return { code, ...texts, results: resultsOf(ranks, folder, code === 0) };
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
