/** The one policy of durability: a file's bytes reach the disk before it gets its name, the name before work continues. */
import { type FileHandle, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';

/** Bytes of one write: what the event loop is held up by for their checksum, a few milliseconds. */
const pieceBytes = 4 << 20;
/** Bytes after which they are brought to the disk, while the rest is made. */
const flushBytes = 64 << 20;

/** Length and CRC-32 of a file's contents. */
export interface Checksum {
  readonly bytes: number;
  readonly crc32: number;
}

/** A file that is written sequentially. */
export class FileWriter {
  readonly #handle: FileHandle;
  #bytes = 0;
  #crc32 = 0;
  #flushed = 0;
  /** Flushes in progress, in parallel to the writing. */
  #flushing: Promise<void> | undefined;
  /** The kernel reports a failed write to one call only, so that error is kept. */
  #failure: unknown;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Appends bytes, or text as UTF-8. They must stay as they are until the promise is settled. */
  async append(content: Uint8Array | string): Promise<void> {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    for (let start = 0; start < bytes.length; start += pieceBytes) {
      const piece = bytes.subarray(start, start + pieceBytes);
      this.#crc32 = crc32(piece, this.#crc32);
      for (let done = 0; done < piece.length; ) {
        const { bytesWritten } = await this.#handle.write(piece, done, piece.length - done, this.#bytes);
        done += bytesWritten;
        this.#bytes += bytesWritten;
      }
    }
    if (!this.#flushing && this.#bytes - this.#flushed >= flushBytes) this.#flush();
  }

  /** Checksum of what was appended so far. */
  get checksum(): Checksum {
    return { bytes: this.#bytes, crc32: this.#crc32 };
  }

  /** Waits until all is on the disk. */
  async sync(): Promise<void> {
    await this.#flushing;
    if (this.#failure !== undefined) throw this.#failure;
    await this.#handle.sync();
  }

  #flush(): void {
    this.#flushed = this.#bytes;
    this.#flushing = this.#handle
      .datasync()
      .catch((error: unknown) => {
        this.#failure ??= error;
      })
      .finally(() => {
        this.#flushing = undefined;
      });
  }
}

/** Creates a file, lets `fill` write it, waits until it is on the disk and returns its checksum. */
export async function writeSynced(path: string, fill: (file: FileWriter) => Promise<unknown>): Promise<Checksum> {
  const handle = await open(path, 'wx');
  try {
    const file = new FileWriter(handle);
    await fill(file);
    await file.sync();
    return file.checksum;
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
