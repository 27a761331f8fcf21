/** Ranks as processes of their own, started by mpirun or by what APOLLO_MPIEXEC names. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Ended, type Launched, launch, launcherKind, mpiexec } from '../../bench/launcher.js';
import { loadAddon } from '../../lib/engine/native.js';
import { plainEnv, typescript } from '../typescript.js';

const child = fileURLToPath(new URL('./rank-child.ts', import.meta.url));

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

/** Starts `ranks` processes of `script ARGS`. */
export function startRanks(ranks: number, script: string, args: readonly string[]): Launched {
  return launch([{ ranks, command: commandOf(script, args) }], plainEnv);
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
  script: string = child,
): Promise<Ended & { readonly results: Result[] }> {
  mkdirSync(folder, { recursive: true });
  const ended = await startRanks(ranks, script, [JSON.stringify({ ...task, folder })]).ended;
  const results = Array.from({ length: ended.code === 0 ? ranks : 0 }, (_, rank) =>
    JSON.parse(readFileSync(join(folder, `rank-${rank}.json`), 'utf8')),
  ) as Result[];
  return { ...ended, results };
}
