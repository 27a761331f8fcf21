/**
 * gzip (RFC 1952), of one or several members. Headers and checksums are read here, so that what follows the last member
 * is reported with its place; zlib unpacks what is between. Zeros may follow, which fill up a block of a tape.
 */
import { crc32, createInflateRaw, type InflateRaw } from 'node:zlib';
import { ByteQueue } from './byte-queue.js';
import { DamagedPacking, type Packing } from './unpack.js';

export const gzip: Packing = {
  name: 'gzip',
  ending: '.gz',
  starts: (head) => head[0] === 0x1f && head[1] === 0x8b,
  unpack,
};

async function* unpack(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const bytes = new ByteQueue(source, 'gzip');
  do {
    await skipHeader(bytes);
    yield* body(bytes);
  } while (await nextMember(bytes));
}

/** Whether another member follows. @throws DamagedPacking for anything that is neither a member nor zeros. */
async function nextMember(bytes: ByteQueue): Promise<boolean> {
  if ((await bytes.has(2)) && gzip.starts(await bytes.peek(2))) return true;
  const place = bytes.offset;
  for (;;) {
    const rest = await bytes.takeAny();
    if (rest === undefined) return false;
    if (rest.some((byte) => byte !== 0)) {
      throw new DamagedPacking(
        `contains other data after its gzip data, from byte ${place} on. Remove it, for example with ` +
          `"head -c ${place}", or decompress the file with gzip -d, which ignores it.`,
      );
    }
  }
}

/** Bits of a header's flags. */
const flags = { headerChecksum: 2, extra: 4, name: 8, comment: 16, reserved: 0xe0 };

async function skipHeader(bytes: ByteQueue): Promise<void> {
  const place = bytes.offset;
  const header = await bytes.take(10);
  const has = (flag: keyof typeof flags): boolean => (header[3]! & flags[flag]) !== 0;
  if (!gzip.starts(header) || header[2] !== 8 || has('reserved')) throw damaged('no header of a member', place);
  if (has('extra')) {
    const [low, high] = await bytes.take(2);
    await bytes.skip(low! + 256 * high!);
  }
  if (has('name')) await skipText(bytes);
  if (has('comment')) await skipText(bytes);
  if (has('headerChecksum')) await bytes.skip(2);
}

async function skipText(bytes: ByteQueue): Promise<void> {
  while ((await bytes.take(1))[0] !== 0);
}

/** The contents of a member, with checksum and length verified. */
async function* body(bytes: ByteQueue): AsyncGenerator<Uint8Array> {
  const inflate = createInflateRaw({ chunkSize: 1 << 18 });
  const fed = feed(inflate, bytes);
  fed.catch((error: Error) => inflate.destroy(error));
  let checksum = 0;
  let length = 0;
  try {
    for await (const chunk of inflate) {
      checksum = crc32(chunk as Buffer, checksum);
      length += (chunk as Buffer).length;
      yield chunk as Buffer;
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'Z_BUF_ERROR') throw cut();
    if (code?.startsWith('Z_')) throw damaged(message, bytes.offset, { cause: error });
    throw error;
  } finally {
    inflate.destroy();
    await fed.catch(() => {}); // thrown by the stream
  }
  if (!(await bytes.has(8))) throw cut();
  const trailer = Buffer.from(await bytes.take(8));
  if (trailer.readUInt32LE(0) !== checksum) throw damaged('incorrect data check', bytes.offset);
  if (trailer.readUInt32LE(4) !== length % 2 ** 32) throw damaged('incorrect length check', bytes.offset);
}

/** Writes bytes until the data end, and puts back those that follow. */
async function feed(inflate: InflateRaw, bytes: ByteQueue): Promise<void> {
  let isOver = false;
  const over = new Promise<void>((resolve) => {
    const end = (): void => {
      isOver = true;
      resolve();
    };
    inflate.once('end', end).once('close', end);
  });
  while (!isOver) {
    const chunk = await bytes.takeAny();
    if (chunk === undefined) {
      inflate.end();
      return;
    }
    if (isOver) return bytes.giveBack(chunk);
    const before = inflate.bytesWritten;
    const written = new Promise<void>((resolve) => inflate.write(chunk, () => resolve()));
    await Promise.race([written, over]);
    const used = inflate.bytesWritten - before;
    if (used < chunk.length) return bytes.giveBack(chunk.subarray(used));
  }
}

function cut(): DamagedPacking {
  return new DamagedPacking('ends before its gzip data does. The file was cut off; copy it again.');
}

function damaged(reason: string, byte: number, options?: ErrorOptions): DamagedPacking {
  return new DamagedPacking(`holds damaged gzip data (${reason}) at or before byte ${byte}.`, options);
}
