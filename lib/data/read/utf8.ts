/** Strict UTF-8: bytes become text piece by piece, and the first byte that is not UTF-8 is named by its offset. */

export class InvalidUtf8 extends Error {
  constructor(
    /** Offset of the first offending byte from the start of the stream. */
    readonly offset: number,
    readonly kind: 'invalid' | 'cut' | 'zero',
  ) {
    super(`byte ${offset} is not UTF-8`);
  }
}

const byteOrderMark = '\ufeff';

/** Decodes a stream of byte chunks cut anywhere. A byte order mark at the very start is dropped. */
export class Utf8Reader {
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  #pending: Uint8Array = new Uint8Array(0); // the start of a character whose end has not come yet
  #offset = 0; // of #pending in the stream

  /** @throws InvalidUtf8 at a byte that cannot be UTF-8, and at a zero byte: text has none, binary files do. */
  decode(chunk: Uint8Array): string {
    const bytes = this.#pending.length > 0 ? Buffer.concat([this.#pending, chunk]) : chunk;
    const zero = bytes.indexOf(0);
    if (zero >= 0) {
      const before = firstInvalid(bytes.subarray(0, zero));
      if (before === undefined) throw new InvalidUtf8(this.#offset + zero, 'zero');
    }
    const complete = bytes.length - incompleteTail(bytes);
    let text: string;
    try {
      text = this.#decoder.decode(bytes.subarray(0, complete));
    } catch {
      throw new InvalidUtf8(this.#offset + (firstInvalid(bytes.subarray(0, complete)) ?? complete), 'invalid');
    }
    if (this.#offset === 0 && complete > 0 && text.startsWith(byteOrderMark)) text = text.slice(1);
    this.#pending = bytes.slice(complete);
    this.#offset += complete;
    return text;
  }

  /** @throws InvalidUtf8 when the stream ended inside a character. */
  end(): void {
    if (this.#pending.length > 0) throw new InvalidUtf8(this.#offset, 'cut');
  }
}

/** Number of bytes a UTF-8 sequence with this first byte has; 0 for a byte that starts none. */
function sequenceLength(first: number): number {
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return 2;
  if (first >= 0xe0 && first <= 0xef) return 3;
  return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

/** How many bytes at the end belong to a character that is not complete; 0 if the end is a boundary (or is wrong). */
function incompleteTail(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!;
    if ((byte & 0xc0) === 0x80) continue;
    return sequenceLength(byte) > back ? back : 0;
  }
  return 0;
}

/** Offset of the first byte at which well-formed UTF-8 (Unicode standard, table 3-7) ends, or undefined. */
export function firstInvalid(bytes: Uint8Array): number | undefined {
  let i = 0;
  while (i < bytes.length) {
    const first = bytes[i]!;
    const length = sequenceLength(first);
    if (length === 0 || i + length > bytes.length) return i;
    for (let k = 1; k < length; k++) {
      const byte = bytes[i + k]!;
      const low = k === 1 && first === 0xe0 ? 0xa0 : k === 1 && first === 0xf0 ? 0x90 : 0x80;
      const high = k === 1 && first === 0xed ? 0x9f : k === 1 && first === 0xf4 ? 0x8f : 0xbf;
      if (byte < low || byte > high) return i;
    }
    i += length;
  }
  return undefined;
}
