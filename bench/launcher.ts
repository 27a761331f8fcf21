/** Ranks on this machine, started by the MPI launcher at hand: mpirun, or what APOLLO_MPIEXEC names. */
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';

export const mpiexec = process.env['APOLLO_MPIEXEC'] ?? 'mpirun';

/** `hydra` is the launcher of MPICH and Intel MPI. */
export type LauncherKind = 'openmpi' | 'hydra';

/** Undefined where there is none. */
export function launcherKind(): LauncherKind | undefined {
  const { status, stdout } = spawnSync(mpiexec, ['--version'], { encoding: 'utf8' });
  if (status !== 0) return undefined;
  return /hydra|mpich|intel/i.test(stdout) ? 'hydra' : 'openmpi';
}

/** Ranks may share the machine with other work, on any number of cores. */
const sharing: Readonly<Record<LauncherKind, readonly string[]>> = {
  openmpi: ['--oversubscribe', '--allow-run-as-root', '--bind-to', 'none'],
  hydra: [],
};

/** Some of the ranks that start together. */
export interface RankBlock {
  readonly ranks: number;
  /** Program and arguments. */
  readonly command: readonly string[];
}

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  readonly ms: number;
}

export interface Launched {
  readonly mpirun: ChildProcessByStdio<null, Readable, Readable>;
  readonly ended: Promise<Ended>;
  /** Output so far. */
  readonly text: { readonly out: string; readonly err: string };
}

/** Arguments of the launcher, for ranks that share this machine. */
export function launcherArguments(blocks: readonly RankBlock[]): string[] {
  const args = blocks.flatMap(({ ranks, command }, i) => [...(i > 0 ? [':'] : []), '-np', String(ranks), ...command]);
  return [...sharing[launcherKind() ?? 'openmpi'], ...args];
}

/** Starts ranks 0, 1, ... of the blocks in their order. */
export function launch(blocks: readonly RankBlock[], env: NodeJS.ProcessEnv = process.env): Launched {
  const started = performance.now();
  const mpirun = spawn(mpiexec, launcherArguments(blocks), { stdio: ['ignore', 'pipe', 'pipe'], env });
  const text = { out: '', err: '' };
  mpirun.stdout.on('data', (chunk: Buffer) => {
    text.out += chunk;
  });
  mpirun.stderr.on('data', (chunk: Buffer) => {
    text.err += chunk;
  });
  const ended = new Promise<Ended>((resolve) => {
    mpirun.on('close', (code) => resolve({ code, ...text, ms: performance.now() - started }));
  });
  return { mpirun, ended, text };
}

/** Process ids of the ranks that a launcher has started so far, by rank. */
export function ranksOf(launcher: number): ReadonlyMap<number, number> {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const parent = Number(/^PPid:\s*(\d+)/m.exec(fileOf(name, 'status'))?.[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const ranks = new Map<number, number>();
  const visit = (pid: number): void => {
    for (const child of children.get(pid) ?? []) {
      const rank = /(?:^|\0)(?:OMPI_COMM_WORLD_RANK|PMI_RANK)=(\d+)/.exec(fileOf(child, 'environ'))?.[1];
      if (rank === undefined) visit(child);
      else ranks.set(Number(rank), child);
    }
  };
  visit(launcher);
  return ranks;
}

/** Empty for a process that has just ended. */
function fileOf(pid: number | string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return '';
  }
}
