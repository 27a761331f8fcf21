/** Files that appear whole or not at all: written under another name, synced, renamed. */
import { mkdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { syncFolder, writeSynced } from './durable.js';
import { fileError } from './error.js';
import { unique } from './process.js';

export interface FileToWrite {
  readonly path: string;
  readonly content: string | Uint8Array;
}

/**
 * Writes a file, over one that is there. Its folder is made if need be. `what` names it in errors: "The report".
 * @throws ApolloError FILE_SYSTEM; what stood there before stays then.
 */
export async function writeWholeFile(path: string, content: string | Uint8Array, what: string): Promise<void> {
  await writeWholeFiles([{ path, content }], what);
}

/**
 * Writes files that belong together: all are on the disk before the first takes its place.
 * @throws ApolloError FILE_SYSTEM.
 */
export async function writeWholeFiles(files: readonly FileToWrite[], what: string): Promise<void> {
  const written: { readonly path: string; readonly temporary: string }[] = [];
  let current = files[0]?.path ?? '';
  try {
    for (const { path, content } of files) {
      current = path;
      const temporary = join(dirname(path), `.writing-${basename(path)}-${process.pid}-${unique()}`);
      await mkdir(dirname(path), { recursive: true });
      written.push({ path, temporary });
      await writeSynced(temporary, (handle) => handle.writeFile(content));
    }
    for (const { path, temporary } of written) {
      current = path;
      await rename(temporary, path);
    }
    for (const folder of new Set(files.map(({ path }) => dirname(path)))) await syncFolder(folder);
  } catch (error) {
    for (const { temporary } of written) await rm(temporary, { force: true }).catch(() => {});
    throw fileError(error, what, current);
  }
}
