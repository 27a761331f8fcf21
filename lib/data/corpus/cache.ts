/**
 * The cache folder: entries named by what they are made from, written next to their place and renamed into it, so that
 * an entry is there whole or not at all. Each holds the digests of its files, which show what was changed afterwards. The
 * folder may be deleted at any time.
 */
import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { ApolloError } from '../../errors.js';
import { syncFolder } from '../../fs/durable.js';
import { fileError, writing } from '../../fs/error.js';
import { makeFolder } from '../../fs/make-folder.js';
import { isRunning, markText, ownMark, type ProcessMark, unique } from '../../fs/process.js';
import { removeUnfinishedFiles, writeWholeFile } from '../../fs/whole-file.js';
import { type FileStamp, stampOf } from '../read/files.js';
import { throwIfAborted } from './abort.js';

/** A digest is remembered only for a file that was left alone for this long: clocks of file systems are coarse. */
const settledMs = 2000;

/** Partial entries older than this are deleted. */
const forgottenMs = 30 * 24 * 3600 * 1000;

/** Digests remembered at most; the oldest are forgotten first. */
const maxDigests = 20_000;

/** A key from its parts: 32 hexadecimal digits. */
export function keyOf(...parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 32);
}

/** Milliseconds between two renewals of a partial entry, and after the last one until a thread of this process counts as gone. */
const renewMs = 1000;
const goneMs = 15 * renewMs;

/** Entries that calls of this thread work on, by path. */
const inWork = new Map<string, Promise<void>>();

export class Cache {
  private constructor(readonly folder: string) {}

  /**
   * Opens the folder, makes it if need be, and removes what processes of this machine that have died left behind. A
   * partial entry that can be resumed (writeResumable) is kept for 30 days.
   * @throws ApolloError FILE_SYSTEM when it cannot be made.
   */
  static async open(folder: string): Promise<Cache> {
    try {
      await makeFolder(folder);
      for (const name of await readdir(folder)) {
        const writer = processOf(name, '.tmp-');
        if (writer && !isRunning(writer)) await rm(join(folder, name), { recursive: true, force: true });
        if (begunName.test(name) && Date.now() - (await modifiedMs(join(folder, name))) > forgottenMs)
          await rm(join(folder, name), { recursive: true, force: true });
      }
      await removeUnfinishedFiles(folder);
    } catch (error) {
      throw fileError(error, 'The cache of prepared text', folder, 'be used');
    }
    return new Cache(folder);
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /**
   * Makes the entry `name`: `write` fills a new folder, which then takes its place. When it fails, nothing is left.
   * If another thread or process was first, its entry stays; a damaged one is replaced.
   */
  async write(name: string, write: (folder: string) => Promise<void>): Promise<void> {
    const temporary = this.#temporary();
    try {
      await this.#writing(async () => {
        await mkdir(temporary);
        await write(temporary);
        await seal(temporary);
        await this.#settle(temporary, name);
      });
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  }

  /**
   * As `write`, for entries that take long: what `write` has left in the folder when it is stopped is
   * there again the next time. It is kept when it `isWorthKeeping` and the text is not what was wrong (BAD_CORPUS).
   */
  async writeResumable(
    name: string,
    write: (folder: string) => Promise<void>,
    isWorthKeeping: (folder: string) => boolean,
  ): Promise<void> {
    const working = this.path(`.begun-${name}-${markText(ownMark())}-${unique()}`);
    await this.#writing(async () => {
      if (!(await this.#claim(name, working))) await mkdir(working);
      const renewal = setInterval(() => void renew(working), renewMs).unref();
      try {
        await renew(working); // one that was claimed is as old as it was left
        await write(working);
      } catch (error) {
        const isText = error instanceof ApolloError && error.code === 'BAD_CORPUS';
        if (!isText && isWorthKeeping(working)) {
          await rename(working, this.path(`${begunPrefix(name)}free-0-${unique()}`));
        } else {
          await rm(working, { recursive: true, force: true });
        }
        throw error;
      } finally {
        clearInterval(renewal);
      }
      await seal(working);
      await this.#settle(working, name);
    });
  }

  #temporary(): string {
    return this.path(`.tmp-${markText(ownMark())}-${unique()}`);
  }

  /**
   * Gives a finished folder the name of its entry. An entry that is there and whole stays, for others may be reading it, and
   * the folder is removed; a damaged entry is moved aside.
   */
  async #settle(folder: string, name: string): Promise<void> {
    await syncFolder(folder);
    const path = this.path(name);
    while (!(await renamed(folder, path))) {
      if (await this.isWhole(name)) {
        await rm(folder, { recursive: true, force: true });
        return;
      }
      const aside = this.#temporary();
      await rename(path, aside).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error; // another thread or process has moved it
      });
      await rm(aside, { recursive: true, force: true });
    }
    await syncFolder(this.folder);
  }

  /**
   * Does `work` while no other call of this thread works on the entry `name`. `pause` ends the waiting when it throws.
   */
  async alone<Value>(name: string, pause: () => Promise<void>, work: () => Promise<Value>): Promise<Value> {
    const path = resolve(this.path(name));
    while (inWork.has(path)) await Promise.race([inWork.get(path), pause()]);
    const result = work();
    const settled = result.then(
      () => {},
      () => {},
    );
    inWork.set(path, settled);
    try {
      return await result;
    } finally {
      inWork.delete(path);
    }
  }

  /**
   * Whether another process of this machine, or another thread of this one, is making the entry `name`. Whether a thread still
   * runs shows in its folder, which it renews.
   */
  async isMadeByAnother(name: string): Promise<boolean> {
    for (const found of await readdir(this.folder)) {
      const worker = processOf(found, begunPrefix(name));
      if (worker === undefined || !isRunning(worker)) continue;
      if (worker.pid !== process.pid) return true;
      const renewedMs = (await stat(this.path(found)).catch(() => undefined))?.mtimeMs ?? 0;
      if (Date.now() - renewedMs < goneMs) return true;
    }
    return false;
  }

  /** Takes over a partial entry that no process works on; false when there is none. */
  async #claim(name: string, working: string): Promise<boolean> {
    for (const found of await readdir(this.folder)) {
      const worker = processOf(found, begunPrefix(name));
      const isFree = found.startsWith(`${begunPrefix(name)}free-`) || (worker && !isRunning(worker));
      if (!isFree) continue;
      const isOurs = await rename(this.path(found), working).then(
        () => true,
        () => false, // another process was quicker
      );
      if (isOurs) return true;
    }
    return false;
  }

  /** Names the cache folder in errors of the file system. */
  async #writing(work: () => Promise<void>): Promise<void> {
    await writing('Prepared text', this.folder, work);
  }

  /**
   * Whether the entry `name` is there and unchanged. Files that were left alone since they were last read are not read
   * again. `onBytes` gets the bytes as they are settled, and how many there are.
   */
  async isWhole(
    name: string,
    onBytes: (count: number, total: number) => void = () => {},
    signal?: AbortSignal,
  ): Promise<boolean> {
    try {
      const seal = sealSchema.parse(JSON.parse(await readFile(join(this.path(name), sealFile), 'utf8')));
      const files = Object.keys(seal).map((file) => {
        const path = join(this.path(name), file);
        return stampOf(path, statSync(path, { bigint: true }));
      });
      const total = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
      const found = await this.digests(files, (count) => onBytes(count, total), signal);
      return Object.values(seal).every((digest, i) => digest === found[i]);
    } catch {
      throwIfAborted(signal);
      return false; // not there, or cut off
    }
  }

  /**
   * SHA-256 of each file. A file whose size, times and inode are as they were when it was last read is not read again.
   * `onBytes` gets the sizes as they are settled.
   */
  async digests(
    files: readonly FileStamp[],
    onBytes: (count: number) => void,
    signal?: AbortSignal,
  ): Promise<string[]> {
    const known = new Map(Object.entries(await this.#knownDigests()));
    const result: string[] = [];
    let isNew = false;
    for (const file of files) {
      let digest = known.get(file.fingerprint);
      if (digest === undefined) {
        const startedMs = Date.now();
        digest = await digestOf(file.path, onBytes, signal);
        if (file.changedMs < startedMs - settledMs) {
          known.set(file.fingerprint, digest);
          isNew = true;
        }
      } else {
        onBytes(file.sizeBytes);
      }
      result.push(digest);
    }
    if (isNew) await this.#remember(known);
    return result;
  }

  async #knownDigests(): Promise<Record<string, string>> {
    try {
      const value: unknown = JSON.parse(await readFile(this.path(digestFile), 'utf8'));
      return typeof value === 'object' && value !== null ? (value as Record<string, string>) : {};
    } catch {
      return {}; // absent or damaged: the files are read again
    }
  }

  async #remember(digests: ReadonlyMap<string, string>): Promise<void> {
    const newest = Object.fromEntries([...digests].slice(-maxDigests));
    await writeWholeFile(this.path(digestFile), JSON.stringify(newest), 'The digests of the text');
  }
}

const digestFile = 'digests.json';

/** In each entry: SHA-256 of its files, by name. */
const sealFile = 'sha256.json';
const sealSchema = z.record(z.string(), z.string()).refine((files) => Object.keys(files).length > 0);

/** Writes the digests of what a finished entry holds. */
async function seal(folder: string): Promise<void> {
  const digests: Record<string, string> = {};
  for (const name of (await readdir(folder)).sort()) digests[name] = await digestOf(join(folder, name), () => {});
  await writeFile(join(folder, sealFile), JSON.stringify(digests), { flush: true });
}

/** Folders of entries that are being made or are partial: the entry's name, the process, or "free" and 0. */
const begunName = /^\.begun-[0-9a-f]+-.+-\d+-[0-9a-f]+$/;
const begunPrefix = (name: string): string => `.begun-${name}-`;

/** The process of this machine that an entry with `prefix` belongs to; undefined for all other entries. */
function processOf(entry: string, prefix: string): ProcessMark | undefined {
  const host = hostname();
  if (!entry.startsWith(`${prefix}${host}-`)) return undefined;
  const [, pid, start = 0] = /^(\d+)(?:-(\d+))?-[0-9a-f]+$/.exec(entry.slice(prefix.length + host.length + 1)) ?? [];
  return pid === undefined ? undefined : { host, pid: Number(pid), start: Number(start) };
}

async function digestOf(path: string, onBytes: (count: number) => void, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
      throwIfAborted(signal);
      hash.update(chunk as Buffer);
      onBytes((chunk as Buffer).length);
    }
  } catch (error) {
    if (error instanceof ApolloError) throw error;
    throw new ApolloError('BAD_CORPUS', `${path} cannot be read: ${(error as Error).message}.`, { cause: error });
  }
  return hash.digest('hex');
}

/** Renames a folder unless there is another at `path`; false then. */
async function renamed(folder: string, path: string): Promise<boolean> {
  try {
    await rename(folder, path);
    return true;
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return false;
  }
}

async function renew(folder: string): Promise<void> {
  const now = new Date();
  await utimes(folder, now, now).catch(() => {});
}

/** The present for a folder that is gone: another process has taken it. */
async function modifiedMs(folder: string): Promise<number> {
  return (await stat(folder).catch(() => undefined))?.mtimeMs ?? Date.now();
}
