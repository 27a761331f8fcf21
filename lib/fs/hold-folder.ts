/** The folder that a process works in: made if need be, locked, and left as it was when the work fails before it starts. */
import { readdir, rm, rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileError } from './error.js';
import { type FolderLock, lockFolder } from './lock.js';
import { makeFolder } from './make-folder.js';

/** A folder that this process works in. */
export interface HeldFolder {
  /** Removes those of `names` that are new since then, and the folders made for it if they are empty. */
  undo(names: readonly string[]): Promise<void>;
  /** Gives the lock free. */
  release(): Promise<void>;
}

/**
 * Makes a folder if need be and takes its lock.
 * @throws ApolloError BUSY naming the process that holds it; FILE_SYSTEM, after which nothing is left behind.
 */
export async function holdFolder(path: string, command: string, what = 'The folder of the run'): Promise<HeldFolder> {
  let first: string | undefined;
  try {
    first = await makeFolder(path);
  } catch (error) {
    throw fileError(error, what, path);
  }
  const before = new Set(await readdir(path));
  const undo = async (names: readonly string[]): Promise<void> => {
    for (const name of names) if (!before.has(name)) await rm(join(path, name), { force: true });
    if (first === undefined) return;
    const top = dirname(resolve(first));
    for (let folder = resolve(path); folder !== top; folder = dirname(folder)) {
      const isGone = await rmdir(folder).then(
        () => true,
        () => false, // something else is in it: it stays
      );
      if (!isGone) return;
    }
  };
  let lock: FolderLock;
  try {
    lock = await lockFolder(path, command);
  } catch (error) {
    await undo([]);
    throw error;
  }
  return {
    release: () => lock.release(),
    undo: async (names) => {
      await lock.release();
      await undo(names);
    },
  };
}
