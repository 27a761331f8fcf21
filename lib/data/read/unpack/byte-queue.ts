/** Bytes of a stream, taken in counts of the reader's choice, with their place in the stream. */
import { DamagedPacking } from './unpack.js';

export class ByteQueue {
  /** Position of the next byte in the stream. */
  offset = 0;
  readonly #chunks: AsyncIterator<Uint8Array>;
  #pending: Uint8Array = new Uint8Array(0);

  constructor(
    source: AsyncIterable<Uint8Array>,
    /** Description of the bytes, for errors. */
    readonly name: string,
  ) {
    this.#chunks = source[Symbol.asyncIterator]();
  }

  /** Whether `count` more bytes come. */
  async has(count: number): Promise<boolean> {
    while (this.#pending.length < count) {
      const { value, done } = await this.#chunks.next();
      if (done) return false;
      this.#pending = this.#pending.length === 0 ? value : Buffer.concat([this.#pending, value]);
    }
    return true;
  }

  /** The next bytes, which stay. @throws DamagedPacking when the stream ends before. */
  async peek(count: number): Promise<Uint8Array> {
    if (await this.has(count)) return this.#pending.subarray(0, count);
    throw new DamagedPacking(
      `ends before its ${this.name} data does (at byte ${this.offset + this.#pending.length}). The file was cut off; copy it again.`,
    );
  }

  async take(count: number): Promise<Uint8Array> {
    const bytes = await this.peek(count);
    this.#pending = this.#pending.subarray(count);
    this.offset += count;
    return bytes;
  }

  /** As many bytes as there are at once; undefined at the end. */
  async takeAny(): Promise<Uint8Array | undefined> {
    return (await this.has(1)) ? this.take(this.#pending.length) : undefined;
  }

  /** Puts bytes back that were taken last. */
  giveBack(bytes: Uint8Array): void {
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([bytes, this.#pending]);
    this.offset -= bytes.length;
  }

  async skip(count: number): Promise<void> {
    for (let left = count; left > 0; ) {
      await this.peek(1);
      const bytes = await this.take(Math.min(left, this.#pending.length));
      left -= bytes.length;
    }
  }
}
