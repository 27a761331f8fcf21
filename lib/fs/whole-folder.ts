/**
 * Folders that appear whole or not at all. A folder NAME is filled as `.writing-…-NAME` next to its place, synced and renamed.
 * One that it replaces waits as `.replaced-NAME` until that is done: at any moment a process dies, the old or the new
 * folder is under one of these two names (`waitingPath`), and `recoverFolder` puts it back.
 */
import { mkdir, readdir, realpath, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ApolloError } from '../errors.js';
import { syncFolder } from './durable.js';
import { fileError } from './error.js';
import { makeFolder } from './make-folder.js';
import { isRunning, parseWritingName, writingName } from './process.js';

const replacedPrefix = '.replaced-';
const removedPrefix = '.removed-';

/** Which entries of a folder that is replaced stay in the new one. */
export type Kept = (entry: string) => boolean;

/** The entries of a folder; none when there is no such folder. */
export async function entriesOf(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw fileError(error, 'The folder', path, 'be read');
  }
}

/**
 * The folder name that an entry of a parent folder is a trace of: `waiting` for one that was replaced or `stale` for what a
 * process that has ended left behind; undefined for everything else.
 */
export function traceOf(entry: string): { readonly name: string; readonly kind: 'waiting' | 'stale' } | undefined {
  if (entry.startsWith(replacedPrefix)) return { name: entry.slice(replacedPrefix.length), kind: 'waiting' };
  if (entry.startsWith(removedPrefix)) return { name: entry.slice(removedPrefix.length), kind: 'stale' };
  const writing = parseWritingName(entry);
  if (!writing || (writing.writer && isRunning(writing.writer))) return undefined;
  return { name: writing.name, kind: 'stale' };
}

/** Where the folder `path` waits while it is replaced. */
export function waitingPath(path: string): string {
  return join(dirname(path), replacedPrefix + basename(path));
}

/** Clears up next to `path` after a process that died: puts the folder back whose replacement never came. */
export async function recoverFolder(path: string, keep: Kept = () => false): Promise<void> {
  const parent = dirname(path);
  const names = await entriesOf(parent);
  for (const entry of names) {
    const trace = traceOf(entry);
    if (trace?.name !== basename(path)) continue;
    if (trace.kind === 'stale') await rm(join(parent, entry), { recursive: true, force: true });
    else if (names.includes(basename(path))) await mergeKept(join(parent, entry), path, keep);
    else await rename(join(parent, entry), path).then(() => syncFolder(parent));
  }
}

/**
 * Writes the folder `path`: `fill` writes and syncs files (writeSynced) into the folder it is given. Until all is written,
 * the existing folder stays. `what` names it in errors.
 * @throws ApolloError FILE_SYSTEM; what `fill` throws. Nothing is left behind then.
 */
export async function writeWholeFolder(
  path: string,
  what: string,
  fill: (folder: string) => Promise<void>,
  keep: Kept = () => false,
): Promise<void> {
  if (path === '') throw new ApolloError('FILE_SYSTEM', `${what} cannot be written: the name of the folder is empty.`);
  try {
    const target = await realpath(path).catch(() => resolve(path));
    const parent = dirname(target);
    await makeFolder(parent);
    await recoverFolder(target, keep);
    const writing = join(parent, writingName(basename(target)));
    await mkdir(writing);
    try {
      await fill(writing);
      await syncFolder(writing);
      await swap(writing, target, keep);
      await syncFolder(parent);
    } finally {
      await rm(writing, { recursive: true, force: true }).catch(() => {});
    }
  } catch (error) {
    throw fileError(error, what, path);
  }
}

/** Removes a folder; it loses its name first, so that a half removed one is never taken for whole. */
export async function removeWholeFolder(path: string): Promise<void> {
  const removed = join(dirname(path), removedPrefix + basename(path));
  await rm(removed, { recursive: true, force: true });
  await rename(path, removed);
  await rm(removed, { recursive: true, force: true });
}

/** Puts `writing` in the place of `target`. */
async function swap(writing: string, target: string, keep: Kept): Promise<void> {
  const parent = dirname(target);
  if (!(await entriesOf(parent)).includes(basename(target))) return rename(writing, target);
  const replaced = waitingPath(target);
  await rename(target, replaced);
  try {
    await rename(writing, target);
  } catch (error) {
    await rename(replaced, target);
    throw error;
  }
  await syncFolder(parent);
  await mergeKept(replaced, target, keep);
}

/** Takes over what stays of the folder before, and removes the rest of it. */
async function mergeKept(replaced: string, target: string, keep: Kept): Promise<void> {
  const written = new Set(await readdir(target));
  for (const entry of await readdir(replaced)) {
    if (keep(entry) && !written.has(entry)) await rename(join(replaced, entry), join(target, entry));
  }
  await rm(replaced, { recursive: true, force: true });
}
