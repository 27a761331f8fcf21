/** The one policy of durability: a file's bytes reach the disk before it gets its name, the name before work goes on. */
import { type FileHandle, open } from 'node:fs/promises';

/** Creates a file, lets `fill` write it and waits until it is on the disk. */
export async function writeSynced(path: string, fill: (handle: FileHandle) => Promise<unknown>): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    await fill(handle);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** File systems that cannot sync a folder (some network and FUSE ones) say so with one of these. */
const cannotSync: ReadonlySet<string> = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EISDIR', 'EPERM']);

/** Makes names that were given in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } catch (error) {
    if (!cannotSync.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
  } finally {
    await handle.close();
  }
}
