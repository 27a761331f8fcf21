/**
 * A lock on a folder: a file in it that names the process which works there. A process that has ended does not hold it:
 * its id is checked together with its start time, and one of another machine must have renewed the file lately.
 */
import { copyFile, link, open, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { z } from 'zod';
import { ApolloError } from '../errors.js';
import { fileError } from './error.js';
import { isRunning, ownMark, unique } from './process.js';
import { removeUnfinishedFiles } from './whole-file.js';

export const lockFile = 'run.lock';

/** Milliseconds between two renewals, and after the last one until a process of another machine counts as gone. */
const renewMs = 30_000;
const goneMs = 3 * 60_000;
/** Before another look at a lock that is being taken over. */
const retryMs = 20;

const schema = z.object({
  host: z.string(),
  pid: z.int(),
  start: z.number(),
  /** The command of the process: "apollo-lm train". */
  command: z.string(),
  /** When it took the lock, ISO 8601. */
  since: z.string(),
  /** Differs for each lock that was ever taken. */
  id: z.string(),
});

export type LockHolder = z.output<typeof schema>;

export interface FolderLock {
  /** Gives the folder free. */
  release(): Promise<void>;
}

/**
 * Takes the lock of `folder`, which exists, and removes the unfinished files of processes that have ended.
 * @throws ApolloError BUSY naming the process that holds it; FILE_SYSTEM. Nothing is changed then.
 */
export async function lockFolder(folder: string, command: string): Promise<FolderLock> {
  const path = join(folder, lockFile);
  const holder: LockHolder = { ...ownMark(), command, since: new Date().toISOString(), id: unique() };
  const candidate = join(folder, `.${lockFile}-${holder.id}`);
  try {
    const handle = await open(candidate, 'wx');
    await handle.writeFile(`${JSON.stringify(holder)}\n`).finally(() => handle.close());
    while (!(await place(candidate, path))) {
      const found = await read(path);
      if (!found) continue; // released in this moment
      if (await holds(found, candidate)) throw busy(folder, path, found.holder);
      if (await takeOver(path, found.text, candidate)) break;
    }
  } catch (error) {
    throw fileError(error, `The lock of ${folder}`, path);
  } finally {
    await rm(candidate, { force: true }).catch(() => {});
  }
  await removeUnfinishedFiles(folder).catch(() => {});
  const timer = setInterval(() => void renew(path), renewMs).unref();
  return {
    async release() {
      clearInterval(timer);
      const found = await read(path).catch(() => undefined);
      if (found?.holder?.id === holder.id) await rm(path, { force: true }).catch(() => {});
    },
  };
}

/** The process of this machine that works in `folder`, if one does. Takes nothing and changes nothing. */
export async function lockHolder(folder: string): Promise<LockHolder | undefined> {
  const holder = (await read(join(folder, lockFile)).catch(() => undefined))?.holder;
  return holder?.host === ownMark().host && isRunning(holder) ? holder : undefined;
}

/** "process 4711 (apollo-lm train, since 2026-01-01 12:00 UTC)". */
export function describeHolder(holder: LockHolder): string {
  const { host, pid, command, since } = holder;
  const where = host === ownMark().host ? '' : ` on ${host}`;
  const who = isOwn(holder) ? 'this process itself' : `process ${pid}${where}`;
  return `${who} (${command}, since ${since.slice(0, 16).replace('T', ' ')} UTC)`;
}

function isOwn({ host, pid }: LockHolder): boolean {
  return host === ownMark().host && pid === process.pid;
}

function busy(folder: string, path: string, holder: LockHolder | undefined): ApolloError {
  const who = holder ? describeHolder(holder) : 'another process';
  const advice =
    holder && isOwn(holder)
      ? 'Wait until that has ended, close it, or name another folder.'
      : `Wait until it has ended, stop it, or name another folder. If there is no such process, remove ${path}.`;
  return new ApolloError(
    'BUSY',
    `${folder} is in use by ${who}. Nothing was changed. ${advice} See docs/troubleshooting.md#folder-in-use.`,
  );
}

/** Gives the candidate its name unless that is taken; false then. */
async function place(candidate: string, path: string): Promise<boolean> {
  try {
    await link(candidate, path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(code ?? '')) throw error;
  }
  // A file system without links: the name first, the contents right after it.
  try {
    const handle = await open(path, 'wx');
    await handle.writeFile(await readFile(candidate)).finally(() => handle.close());
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

interface Found {
  readonly text: string;
  /** Undefined for a file that is no lock of this version, or one that is being written. */
  readonly holder: LockHolder | undefined;
  readonly renewedMs: number;
}

async function read(path: string): Promise<Found | undefined> {
  try {
    const text = await readFile(path, 'utf8');
    const { ctimeMs } = await stat(path);
    return { text, holder: parse(text), renewedMs: ctimeMs };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function parse(text: string): LockHolder | undefined {
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** Whether a lock is held. Ages go by the clock of the file system: both times are its own. */
async function holds({ holder, renewedMs }: Found, candidate: string): Promise<boolean> {
  const ageMs = (await stat(candidate)).ctimeMs - renewedMs;
  if (!holder) return ageMs < renewMs; // a file that is no lock: perhaps one whose contents are still to come
  if (holder.host === ownMark().host) return isRunning(holder);
  return ageMs < goneMs;
}

/**
 * Puts the candidate in the place of a lock that is not held, in one step. Only one process at a time may do so, that of the
 * guard file; true when it was this one.
 */
async function takeOver(path: string, dead: string, candidate: string): Promise<boolean> {
  const guard = `${path}.takeover`;
  if (!(await place(candidate, guard))) {
    const other = await read(guard);
    if (other && !(await holds(other, candidate))) await rm(guard, { force: true });
    else await setTimeout(retryMs);
    return false;
  }
  try {
    if ((await read(path))?.text !== dead) return false;
    const copy = `${candidate}-copy`;
    await copyFile(candidate, copy);
    await rename(copy, path);
    return true;
  } finally {
    await rm(guard, { force: true });
  }
}

async function renew(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now).catch(() => {});
}
