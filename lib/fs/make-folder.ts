/**
 * Folders with those above them. Node's own mkdir with `recursive` never returns where the system makes no folders (/proc),
 * and calls a read-only file system a folder that is not there.
 */
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** How often another process may remove a folder under our hands. */
const tries = 20;

/**
 * Makes a folder and those above it that are missing, from the top down. One that is there already is fine, also one that
 * another process makes meanwhile.
 * @returns the topmost folder that was made; undefined when there was none to make.
 * @throws the system's error, whose `path` is the folder that could not be made.
 */
export async function makeFolder(path: string): Promise<string | undefined> {
  let first: string | undefined;
  for (let left = tries; ; left--) {
    try {
      for (const folder of await missingFolders(path)) if (await isMade(folder)) first ??= folder;
      return first;
    } catch (error) {
      // Another process may have removed a folder since. Otherwise the next attempts fail in the same way immediately.
      const { code } = error as NodeJS.ErrnoException;
      if (left <= 1 || (code !== 'ENOENT' && code !== 'EEXIST')) throw error;
    }
  }
}

/** The folders to be made, the topmost first. Below a file there is nothing to be found: the system refuses the first. */
async function missingFolders(path: string): Promise<string[]> {
  const missing: string[] = [];
  for (let folder = path; ; folder = dirname(folder)) {
    const found = await stat(folder).catch(() => undefined);
    if (found && (folder !== path || found.isDirectory())) break;
    missing.unshift(folder);
    if (folder === '' || folder === dirname(folder)) break; // no name at all; the root
  }
  return missing;
}

/** Whether it was made here; false where it was there. */
async function isMade(folder: string): Promise<boolean> {
  try {
    await mkdir(folder);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST' && (await isFolder(folder))) return false;
    throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
