/** Whether a folder will be there to write to when it is needed, long after the start of a run. */
import { access, constants, readdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { fileError } from './error.js';

/**
 * Checks that files can be written to a folder, or that it can be made. Makes and changes nothing. `what` names it in errors.
 * @throws ApolloError FILE_SYSTEM.
 */
export async function checkFolder(path: string, what: string): Promise<void> {
  try {
    let folder = resolve(path);
    while (!(await isThere(folder))) folder = dirname(folder);
    await access(folder, constants.W_OK);
  } catch (error) {
    throw fileError(error, what, path);
  }
}

/** @throws the system's error where something else than a folder stands there. */
async function isThere(folder: string): Promise<boolean> {
  try {
    await readdir(folder);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
