/** Whether a folder can be written, checked before the work whose results go there. */
import { constants } from 'node:fs';
import { access, readdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writing } from './error.js';

/**
 * Checks a folder, or the nearest one above it where it does not exist yet. Nothing is written.
 * @throws ApolloError FILE_SYSTEM that names `what` and the folder.
 */
export async function checkWritable(folder: string, what: string): Promise<void> {
  await writing(what, folder, async () => {
    let nearest = folder;
    while (!(await isThere(nearest)) && nearest !== dirname(nearest)) nearest = dirname(nearest);
    await readdir(nearest); // refuses a file
    await access(nearest, constants.W_OK);
  });
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
