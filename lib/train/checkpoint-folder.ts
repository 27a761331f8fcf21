/**
 * Folders that appear whole or not at all. A checkpoint is written under a temporary name, synced and renamed to
 * `step-00000123`; the previous one is removed only afterwards. Whatever moment a process dies at, a complete
 * checkpoint remains and `recover` finds it.
 */
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

const finished = /^step-(\d{8,})$/;
const writing = '.writing-';
const replaced = '.replaced-';
const removed = '.removed-';

export interface CheckpointFolder {
  readonly step: number;
  readonly path: string;
}

export function folderName(step: number): string {
  return `step-${String(step).padStart(8, '0')}`;
}

/** Makes a rename in `directory` durable. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function entries(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
}

/** The finished checkpoints in `directory`, oldest first; none when there is no such directory. */
export async function listCheckpoints(directory: string): Promise<CheckpointFolder[]> {
  return (await entries(directory))
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
 */
export async function newestCheckpoint(directory: string): Promise<CheckpointFolder | undefined> {
  const names = await entries(directory);
  const waiting = names.filter((name) => name.startsWith(replaced) && !names.includes(name.slice(replaced.length)));
  const found = [
    ...(await listCheckpoints(directory)),
    ...waiting.flatMap((name) => {
      const match = finished.exec(name.slice(replaced.length));
      return match ? [{ step: Number(match[1]), path: join(directory, name) }] : [];
    }),
  ];
  return found.sort((a, b) => a.step - b.step).at(-1);
}

/** Clears up after a process that died: puts a checkpoint back whose replacement never came, removes what was left. */
export async function recover(directory: string): Promise<void> {
  const names = await entries(directory);
  for (const name of names) {
    const original = name.startsWith(replaced) ? name.slice(replaced.length) : undefined;
    if (original && !names.includes(original)) {
      await rename(join(directory, name), join(directory, original));
      await syncDirectory(directory);
    } else if (original || name.startsWith(writing) || name.startsWith(removed)) {
      await rm(join(directory, name), { recursive: true, force: true });
    }
  }
}

/** Removes a finished checkpoint; it loses its name first, so that a half removed one is never taken for whole. */
async function remove(directory: string, name: string): Promise<void> {
  await rename(join(directory, name), join(directory, removed + name));
  await rm(join(directory, removed + name), { recursive: true, force: true });
}

/** Which checkpoints remain when one is written. */
export interface Kept {
  /** So many of the newest. */
  readonly keep: number;
  /** Besides them, those of these steps. */
  readonly keepAt?: readonly number[];
}

/**
 * Writes the checkpoint of `step`: `fill` writes (and syncs) the files into the folder it is given. Afterwards only those
 * that `kept` names remain. Returns its path.
 */
export async function writeFolder(
  directory: string,
  step: number,
  { keep, keepAt = [] }: Kept,
  fill: (folder: string) => Promise<void>,
): Promise<string> {
  const name = folderName(step);
  await mkdir(directory, { recursive: true });
  await recover(directory);
  const temporary = join(directory, writing + name);
  await mkdir(temporary);
  try {
    await fill(temporary);
    await syncDirectory(temporary);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
  const replaces = (await entries(directory)).includes(name);
  if (replaces) await rename(join(directory, name), join(directory, replaced + name));
  await rename(temporary, join(directory, name));
  await syncDirectory(directory);
  if (replaces) await rm(join(directory, replaced + name), { recursive: true, force: true });
  const others = await listCheckpoints(directory);
  const older = others.filter((folder) => folder.step !== step && !keepAt.includes(folder.step));
  for (const folder of older.slice(0, Math.max(0, older.length - (keep - 1))))
    await remove(directory, folderName(folder.step));
  return join(directory, name);
}
