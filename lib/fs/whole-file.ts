/** Files that appear whole or not at all: written under another name, synced, renamed. */
import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, parse } from 'node:path';
import { syncFolder, writeSynced } from './durable.js';
import { fileError } from './error.js';
import { makeFolder } from './make-folder.js';
import { isRunning, parseWritingName, writingName } from './process.js';

/** The name of a file until it is whole. */
const temporaryOf = (path: string): string => join(dirname(path), writingName(basename(path)));

/**
 * Removes the unfinished files in a folder and below whose writers have ended. What cannot be removed stays. Others may work
 * there: a folder below that is gone when it is looked into has none.
 */
export async function removeUnfinishedFiles(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      await removeUnfinishedFiles(path).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
      });
    }
    const writer = entry.isFile() ? parseWritingName(entry.name)?.writer : undefined;
    if (writer && !isRunning(writer)) await rm(path, { force: true }).catch(() => {});
  }
}

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
      const temporary = temporaryOf(path);
      await makeFolder(dirname(path));
      written.push({ path, temporary });
      await writeSynced(temporary, (file) => file.append(content));
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

/**
 * Replaces `path` by a file whose first part `fill` writes, and returns it open for more.
 * @throws ApolloError FILE_SYSTEM; what `fill` throws. What stood there before stays then.
 */
export async function openWholeFile(
  path: string,
  what: string,
  fill: (handle: FileHandle) => Promise<void>,
): Promise<FileHandle> {
  const temporary = temporaryOf(path);
  let handle: FileHandle | undefined;
  try {
    await makeFolder(dirname(path));
    handle = await open(temporary, 'wx');
    await fill(handle);
    await handle.sync();
    await rename(temporary, path);
    await syncFolder(dirname(path));
    return handle;
  } catch (error) {
    await handle?.close().catch(() => {});
    await rm(temporary, { force: true }).catch(() => {});
    throw fileError(error, what, path);
  }
}

/** Gives a file that is not to be lost the first free name of NAME-1.EXT, NAME-2.EXT, … and returns that. */
export async function setFileAside(path: string, what: string): Promise<string> {
  const { dir, name, ext } = parse(path);
  try {
    const taken = await readdir(dir === '' ? '.' : dir);
    let number = 1;
    while (taken.includes(`${name}-${number}${ext}`)) number++;
    const aside = join(dir, `${name}-${number}${ext}`);
    await rename(path, aside);
    return aside;
  } catch (error) {
    throw fileError(error, what, path, 'be renamed');
  }
}
