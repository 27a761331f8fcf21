/**
 * The checkpoints of a run: folders `step-00000123`, each written whole or not at all (lib/fs). The previous ones are removed
 * only afterwards: at any moment a process dies, a complete checkpoint remains and `recover` finds it. Where each rank
 * writes a part, rank-parts.ts removes them.
 */
import { rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileError } from '../../fs/error.js';
import { entriesOf, recoverFolder, removeWholeFolder, traceOf, writeWholeFolder } from '../../fs/whole-folder.js';
import * as is from '../../is.js';

const finished = /^step-(\d{8,})$/;
const damagedPrefix = 'damaged-';

/** The folder of a checkpoint. */
export interface CheckpointFolder {
  /** Updates done when it was written. */
  readonly step: number;
  /** Path of the folder. */
  readonly path: string;
}

function folderName(step: number): string {
  return `step-${String(step).padStart(8, '0')}`;
}

const takesListCheckpoints = is.takes('listCheckpoints', { directory: is.path });
const takesNewestCheckpoint = is.takes('newestCheckpoint', { directory: is.path });

/**
 * The finished checkpoints in `directory`, oldest first; none when there is no such directory.
 * @example
 * for (const { step, path } of await listCheckpoints('runs/gpt/checkpoints')) console.log(step, path);
 */
export async function listCheckpoints(directory: string): Promise<CheckpointFolder[]> {
  takesListCheckpoints(directory);
  return (await entriesOf(directory))
    .flatMap((name) => {
      const match = finished.exec(name);
      return match ? [{ step: Number(match[1]), path: join(directory, name) }] : [];
    })
    .sort((a, b) => a.step - b.step);
}

/** The newest finished checkpoint, after `recover`. */
export async function latestCheckpoint(directory: string): Promise<CheckpointFolder | undefined> {
  await recover(directory);
  return (await listCheckpoints(directory)).at(-1);
}

/**
 * The newest finished checkpoint, found without changing anything: the run may still be writing. One whose replacement
 * never came is taken from the name it waits under.
 * @example
 * const newest = await newestCheckpoint('runs/gpt/checkpoints');
 */
export async function newestCheckpoint(directory: string): Promise<CheckpointFolder | undefined> {
  takesNewestCheckpoint(directory);
  const names = await entriesOf(directory);
  const waiting = names.flatMap((entry) => {
    const trace = traceOf(entry);
    const match = trace?.kind === 'waiting' && !names.includes(trace.name) ? finished.exec(trace.name) : null;
    return match ? [{ step: Number(match[1]), path: join(directory, entry) }] : [];
  });
  return [...(await listCheckpoints(directory)), ...waiting].sort((a, b) => a.step - b.step).at(-1);
}

/** Clears up after a process that died: puts a checkpoint back whose replacement never came, removes what was left. */
export async function recover(directory: string): Promise<void> {
  const names = new Set((await entriesOf(directory)).map((entry) => traceOf(entry)?.name));
  for (const name of names) if (name !== undefined) await recoverFolder(join(directory, name));
}

/**
 * Takes a damaged checkpoint out of the list, so that neither is resumed from it nor does it count as one of those that are
 * kept. It stays next to the others as `damaged-NAME`, for its owner to look at and remove. Returns that path.
 */
export async function setDamagedAside({ path, step }: CheckpointFolder): Promise<string> {
  const taken = await entriesOf(dirname(path));
  let name = damagedPrefix + folderName(step);
  for (let number = 2; taken.includes(name); number++) name = `${damagedPrefix}${folderName(step)}-${number}`;
  const aside = join(dirname(path), name);
  await rename(path, aside);
  return aside;
}

/** Which checkpoints remain when one is written. */
export interface Kept {
  /** How many of the newest are kept; Infinity: all. */
  readonly keep: number;
  /** Checkpoints at these steps are kept in addition. */
  readonly keepAt?: readonly number[];
}

/** Of the steps of some checkpoints, oldest first, those that are not kept. */
export function superseded(steps: readonly number[], { keep, keepAt = [] }: Kept): number[] {
  const older = steps.slice(0, -1).filter((step) => !keepAt.includes(step));
  return older.slice(0, Math.max(0, older.length - (keep - 1)));
}

/** @throws ApolloError FILE_SYSTEM. */
export async function removeCheckpoint({ path }: CheckpointFolder): Promise<void> {
  await removeWholeFolder(path).catch((error: unknown) => {
    throw fileError(error, 'The checkpoint', path, 'be removed');
  });
}

/**
 * Writes the checkpoint of `step`: `fill` writes (and syncs) the files into the folder it is given. Afterwards only those
 * that `kept` names remain of it and the older ones. Returns its path.
 */
export async function writeFolder(
  directory: string,
  step: number,
  kept: Kept,
  fill: (folder: string) => Promise<void>,
): Promise<string> {
  const path = join(directory, folderName(step));
  await recover(directory);
  await writeWholeFolder(path, `The checkpoint of step ${step}`, fill);
  const all = (await listCheckpoints(directory)).filter((folder) => folder.step <= step);
  const steps = superseded(
    all.map((folder) => folder.step),
    kept,
  );
  for (const folder of all) if (steps.includes(folder.step)) await removeCheckpoint(folder);
  return path;
}
