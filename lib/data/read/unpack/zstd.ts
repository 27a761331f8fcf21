/**
 * Zstandard (RFC 8878). The frames are taken apart here, block by block, so that little is held at a time, a cut is
 * seen where it is, and checksums are compared; fzstd unpacks the blocks.
 */
import { Decompress } from 'fzstd';
import xxhash, { type XXHash } from 'xxhash-wasm';
import { ByteQueue } from './byte-queue.js';
import { DamagedPacking, type Packing } from './unpack.js';

export const zstd: Packing = {
  name: 'zstd',
  ending: '.zst',
  starts: (head) => isFrame(head) || isSkippable(head),
  unpack,
};

const isFrame = (head: Uint8Array): boolean =>
  head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd;

/** A frame with something else in it, which readers pass over. */
const isSkippable = (head: Uint8Array): boolean =>
  (head[0]! & 0xf0) === 0x50 && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18;

/** Bytes of the largest window that is unpacked; `zstd --ultra -22 --long=27` stays below. */
const largestWindow = 2 ** 27;

/** A block of a frame holds at most this many bytes, packed or not. */
const largestBlock = 1 << 17;

async function* unpack(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const { create64 } = await xxhash();
  const bytes = new ByteQueue(source, 'zstd');
  while (await bytes.has(1)) {
    const magic = await bytes.peek(4);
    if (isSkippable(magic)) {
      const header = await bytes.take(8);
      await bytes.skip(new DataView(header.buffer, header.byteOffset).getUint32(4, true));
    } else if (isFrame(magic)) {
      yield* unpackFrame(bytes, create64());
    } else {
      throw damaged(bytes, 'no frame begins');
    }
  }
}

async function* unpackFrame(bytes: ByteQueue, checksum: XXHash<bigint>): AsyncGenerator<Uint8Array> {
  // RFC 8878, 3.1.1.1: the fifth byte defines which fields the header has.
  const descriptor = (await bytes.peek(5))[4]!;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const hasChecksum = (descriptor & 4) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3]!;
  const sizeBytes = descriptor >> 6 === 0 ? Number(isSingleSegment) : 1 << (descriptor >> 6);
  const windowBytes = isSingleSegment ? 0 : 1;
  const header = await bytes.take(5 + windowBytes + dictionaryBytes + sizeBytes);
  if (header.subarray(5 + windowBytes, 5 + windowBytes + dictionaryBytes).some((byte) => byte !== 0))
    throw new DamagedPacking('is packed by zstd with a dictionary, which is not read here. Pack it without one.');
  const window = isSingleSegment
    ? littleEndian(header.subarray(header.length - sizeBytes)) + (sizeBytes === 2 ? 256 : 0)
    : 2 ** (10 + (header[5]! >> 3)) * (1 + (header[5]! & 7) / 8);
  if (window > largestWindow)
    throw new DamagedPacking(
      `needs a zstd window of ${window} bytes, and at most ${largestWindow} are held. Pack it with --long=27 or less.`,
    );

  let unpacked: Uint8Array[] = []; // several at once at the start of a frame, where fzstd waits for 18 bytes
  const frame = new Decompress((chunk) => {
    if (chunk.length > 0) unpacked.push(chunk);
  });
  // fzstd keeps an empty view of every block until the frame ends, and with it the memory that the block is in: blocks
  // are handed to it in one place. Short ones it may really keep (it waits for 18 bytes), so they are copies.
  const room = new Uint8Array(header.length + 3 + largestBlock + 4);
  const handed = (...parts: readonly Uint8Array[]): Uint8Array => {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    const target = length < 18 ? new Uint8Array(length) : room.subarray(0, length);
    parts.reduce((at, part) => {
      target.set(part, at);
      return at + part.length;
    }, 0);
    return target;
  };
  for (let first = true, isLast = false; !isLast; first = false) {
    const place = bytes.offset;
    const blockHeader = littleEndian(await bytes.peek(3));
    isLast = (blockHeader & 1) === 1;
    const kind = (blockHeader >> 1) & 3;
    const size = blockHeader >> 3;
    if (kind === 3 || size > largestBlock) throw damaged(bytes, 'a block has no such kind or size');
    const block = await bytes.take(3 + (kind === 1 ? 1 : size) + (isLast && hasChecksum ? 4 : 0));
    unpacked = [];
    try {
      frame.push(first ? handed(header, block) : handed(block), isLast);
    } catch (error) {
      throw damaged(bytes, (error as Error).message, place);
    }
    for (const chunk of unpacked) {
      checksum.update(chunk);
      yield chunk;
    }
    if (isLast && hasChecksum && littleEndian(block.subarray(-4)) !== Number(checksum.digest() & 0xffffffffn))
      throw damaged(bytes, 'the checksum of a frame is another');
  }
}

function littleEndian(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte, i) => sum + byte * 256 ** i, 0);
}

function damaged(bytes: ByteQueue, reason: string, offset = bytes.offset): DamagedPacking {
  return new DamagedPacking(`holds damaged zstd data at byte ${offset} (${reason}).`);
}
