/** A folder that appears whole or not at all: filled under another name, synced, renamed. */
import { mkdir, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { ApolloError } from '../errors.js';

type Handle = Awaited<ReturnType<typeof open>>;

export interface WholeFolderOptions {
  /** Whether a folder that is there may be replaced. */
  readonly force?: boolean;
  /** Whether a folder with these entries is one that may be replaced; any other is refused, forced or not. */
  readonly replaceable: (entries: readonly string[]) => boolean;
  /** Whether an entry of the folder before is replaced; all others are kept. */
  readonly ours: (entry: string) => boolean;
  /** What stands in it, for errors: "an exported model". */
  readonly what: string;
}

/** Creates a file, lets `fill` write it and waits until it is on the disk. */
export async function writeSynced(path: string, fill: (handle: Handle) => Promise<unknown>): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    await fill(handle);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  await handle.sync().finally(() => handle.close());
}

/** The entries of a folder; undefined when there is none. */
async function entriesOf(path: string): Promise<string[] | undefined> {
  return readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
}

/**
 * Checks that a folder may be written, before work is put into it.
 * @throws ApolloError BAD_ARGUMENT when it is a file, or holds something and may not be replaced.
 */
export async function checkWholeFolder(path: string, options: WholeFolderOptions): Promise<void> {
  const { force = false, replaceable, what } = options;
  const refuse = (message: string): never => {
    throw new ApolloError('BAD_ARGUMENT', message);
  };
  const found = await stat(path).catch(() => undefined);
  if (!found) return;
  if (!found.isDirectory()) refuse(`${path} is a file; name a folder.`);
  const entries = (await entriesOf(path)) ?? [];
  if (entries.length === 0) return;
  if (!replaceable(entries)) {
    refuse(`${path} is not empty and does not hold ${what}, so it is left alone. Name another folder.`);
  }
  if (!force) refuse(`${path} holds ${what} already. Name another folder, or replace it with --force (force: true).`);
}

/**
 * Writes the folder `path`: `fill` writes and syncs files into the folder it is given. Entries of a folder before that
 * are not `ours` are kept. Until all is written, what was there stays.
 * @throws ApolloError BAD_ARGUMENT as `checkWholeFolder`, or when the disk refuses; what `fill` throws.
 */
export async function writeWholeFolder(
  path: string,
  options: WholeFolderOptions,
  fill: (folder: string) => Promise<void>,
): Promise<void> {
  try {
    await checkWholeFolder(path, options);
    const target = await realpath(path).catch(() => resolve(path));
    const parent = dirname(target);
    await mkdir(parent, { recursive: true });
    const writing = join(parent, `.writing-${basename(target)}-${process.pid}`);
    await rm(writing, { recursive: true, force: true });
    await mkdir(writing);
    try {
      await fill(writing);
      await syncFolder(writing);
      await swap(writing, target, options.ours);
      await syncFolder(parent);
    } finally {
      await rm(writing, { recursive: true, force: true });
    }
  } catch (error) {
    if (error instanceof ApolloError || (error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw new ApolloError('BAD_ARGUMENT', `${path} cannot be written: ${(error as Error).message}.`, { cause: error });
  }
}

/** Puts `writing` in the place of `target`; what stood there waits under another name until that is done. */
async function swap(writing: string, target: string, ours: (entry: string) => boolean): Promise<void> {
  const before = await entriesOf(target);
  if (before === undefined) return rename(writing, target);
  const replaced = join(dirname(target), `.replaced-${basename(target)}-${process.pid}`);
  await rename(target, replaced);
  await rename(writing, target);
  const written = new Set(await readdir(target));
  for (const entry of before) {
    if (!ours(entry) && !written.has(entry)) await rename(join(replaced, entry), join(target, entry));
  }
  await rm(replaced, { recursive: true, force: true });
}
