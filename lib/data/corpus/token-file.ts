/**
 * Token files: a header of 1024 bytes, then the ids as little-endian uint16 or uint32. The header is llm.c's (256
 * int32 words: magic 20240520 and version 1 for uint16, 20240801 and 7 for uint32, then the count), so that its .bin
 * files can be read here and ours there; the words it leaves 0 hold what lets us see a damaged file.
 */
import { createHash, type Hash } from 'node:crypto';
import { closeSync, fstatSync, fsyncSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { ApolloError, check } from '../../errors.js';

const headerBytes = 1024;
const tag = 0x4f4c5041; // word 3: the file is ours; "APLO"
const layouts = { 2: { magic: 20240520, version: 1 }, 4: { magic: 20240801, version: 7 } } as const;

// Words of the header: 0 magic, 1 version, 2 count (0x7fffffff if larger), 3 tag, 4-5 count as 64 bits, 6 vocabulary,
// 8-15 SHA-256 of the ids' bytes.

/** Writes a token file; the header, and with it a file that counts as whole, is written by `finish`. */
export class TokenFileWriter {
  readonly #fd: number;
  readonly #hash: Hash = createHash('sha256');
  readonly #width: 2 | 4;
  tokenCount = 0;

  /**
   * Creates the file, or with `keep` resumes one that was left without `finish` after its first `keep` tokens.
   * uint16 is chosen when `vocabSize` allows it.
   * @throws ApolloError BAD_CORPUS when the file has fewer tokens than `keep`.
   */
  constructor(
    path: string,
    readonly vocabSize: number,
    keep?: number,
  ) {
    this.#width = vocabSize <= 65536 ? 2 : 4;
    this.#fd = openSync(path, keep === undefined ? 'wx' : 'r+');
    try {
      if (keep === undefined) writeAll(this.#fd, new Uint8Array(headerBytes), 0);
      else this.#keep(path, keep);
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  #keep(path: string, count: number): void {
    const end = headerBytes + count * this.#width;
    if (fstatSync(this.#fd).size < end) throw bad(path, `has fewer than the ${count} tokens that were written`);
    ftruncateSync(this.#fd, end);
    const block = Buffer.allocUnsafe(1 << 20);
    for (let place = headerBytes; place < end; ) {
      const got = readSync(this.#fd, block, 0, Math.min(block.length, end - place), place);
      this.#hash.update(block.subarray(0, got));
      place += got;
    }
    this.tokenCount = count;
  }

  append(ids: Uint32Array): void {
    const stored = this.#width === 2 ? Uint16Array.from(ids) : ids;
    const bytes = new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
    this.#hash.update(bytes);
    writeAll(this.#fd, bytes, headerBytes + this.tokenCount * this.#width);
    this.tokenCount += ids.length;
  }

  /** Brings what was appended to the disk. */
  sync(): void {
    fsyncSync(this.#fd);
  }

  /** Writes the header and brings all of it to the disk. */
  finish(): void {
    const bytes = Buffer.alloc(headerBytes);
    const { magic, version } = layouts[this.#width];
    bytes.writeInt32LE(magic, 0);
    bytes.writeInt32LE(version, 4);
    bytes.writeInt32LE(Math.min(this.tokenCount, 0x7fffffff), 8);
    bytes.writeInt32LE(tag, 12);
    bytes.writeBigUInt64LE(BigInt(this.tokenCount), 16);
    bytes.writeUInt32LE(this.vocabSize, 24);
    this.#hash.digest().copy(bytes, 32);
    writeAll(this.#fd, bytes, 0);
    fsyncSync(this.#fd);
    closeSync(this.#fd);
  }

  /** Closes without a header: the file stays unreadable. */
  abandon(): void {
    closeSync(this.#fd);
  }
}

/** A token file open for reading at any place. */
export class TokenFile {
  readonly tokenCount: number;
  readonly vocabSize: number;
  readonly #width: 2 | 4;
  #fd: number;
  #bytes = Buffer.allocUnsafe(1 << 13);

  /**
   * Opens a file of ours or of llm.c's; for the latter `vocabSize` must be given.
   * @throws ApolloError BAD_CORPUS when it is no token file, or is longer or shorter than its header says.
   */
  constructor(
    readonly path: string,
    vocabSize?: number,
  ) {
    try {
      this.#fd = openSync(path, 'r');
    } catch (error) {
      throw bad(path, `cannot be opened (${(error as Error).message})`);
    }
    try {
      const header = Buffer.alloc(headerBytes);
      const got = readSync(this.#fd, header, 0, headerBytes, 0);
      const magic = header.readInt32LE(0);
      const version = header.readInt32LE(4);
      const width = ([2, 4] as const).find((w) => layouts[w].magic === magic && layouts[w].version === version);
      if (got < headerBytes || width === undefined) {
        throw bad(
          path,
          `is not a token file, or its writing was cut off: expected magic 20240520 version 1 or 20240801 version 7, got ${magic} version ${version}`,
        );
      }
      this.#width = width;
      const ours = header.readInt32LE(12) === tag;
      this.tokenCount = ours ? Number(header.readBigUInt64LE(16)) : header.readInt32LE(8);
      const known = ours ? header.readUInt32LE(24) : vocabSize;
      check(known !== undefined, `${path} does not say its vocabulary size: give vocabSize.`);
      this.vocabSize = known;
      const expected = headerBytes + this.tokenCount * width;
      const size = fstatSync(this.#fd).size;
      if (size !== expected)
        throw bad(
          path,
          `should have ${expected} bytes for ${this.tokenCount} tokens and has ${size}: it was cut off or added to`,
        );
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  /**
   * Copies `length` ids from `offset` on into `out` at `at`. The range must be in the file.
   * @throws ApolloError CLOSED after close().
   */
  readInto(offset: number, length: number, out: Int32Array, at: number): void {
    if (this.#fd < 0) throw new ApolloError('CLOSED', 'the corpus is closed; open it again with prepareCorpus()');
    const size = length * this.#width;
    if (this.#bytes.length < size) this.#bytes = Buffer.allocUnsafe(size);
    let done = 0;
    while (done < size) {
      const got = readSync(this.#fd, this.#bytes, done, size - done, headerBytes + offset * this.#width + done);
      if (got === 0)
        throw bad(this.path, `ended at token ${offset + Math.floor(done / this.#width)} while it was read`);
      done += got;
    }
    const { buffer, byteOffset } = this.#bytes;
    out.set(
      this.#width === 2 ? new Uint16Array(buffer, byteOffset, length) : new Uint32Array(buffer, byteOffset, length),
      at,
    );
  }

  /**
   * Reads all of the file and compares its SHA-256 with the header's.
   * @throws ApolloError BAD_CORPUS when they differ. Files of llm.c have none and pass.
   */
  verify(): void {
    const header = Buffer.alloc(headerBytes);
    readSync(this.#fd, header, 0, headerBytes, 0);
    if (header.readInt32LE(12) !== tag) return;
    const hash = createHash('sha256');
    const block = Buffer.allocUnsafe(1 << 20);
    for (let place = headerBytes; ; ) {
      const got = readSync(this.#fd, block, 0, block.length, place);
      if (got === 0) break;
      hash.update(block.subarray(0, got));
      place += got;
    }
    if (!hash.digest().equals(header.subarray(32, 64)))
      throw bad(this.path, 'was changed after it was written: its SHA-256 is not the one in its header');
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }
}

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, position + done);
}

function bad(path: string, reason: string): ApolloError {
  return new ApolloError('BAD_CORPUS', `${path} ${reason}. Delete it; it will be made again from the text.`);
}
