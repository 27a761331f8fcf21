/**
 * TFRecord framing: each record is its length, a checksum of the length, the data, a checksum of the data. The checksums
 * are CRC-32C (Castagnoli), rotated and offset as TensorFlow does. Source: tensorflow.org, "TFRecord and tf.train.Example".
 */
import { ApolloError } from '../errors.js';

const table = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});

/** CRC-32C of `bytes`: 0xe3069283 for the text "123456789". */
export function crc32c(bytes: Uint8Array): number {
  let sum = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) sum = (sum >>> 8) ^ table[(sum ^ bytes[i]!) & 0xff]!;
  return (sum ^ 0xffffffff) >>> 0;
}

/** The checksum as it is stored: rotated right by 15 bits, plus a constant. */
function masked(bytes: Uint8Array): number {
  const sum = crc32c(bytes);
  return (((sum >>> 15) | (sum << 17)) + 0xa282ead8) >>> 0;
}

/** One record with its frame. */
export function frameRecord(data: Uint8Array): Buffer {
  const framed = Buffer.alloc(16 + data.length);
  framed.writeBigUInt64LE(BigInt(data.length));
  framed.writeUInt32LE(masked(framed.subarray(0, 8)), 8);
  framed.set(data, 12);
  framed.writeUInt32LE(masked(data), 12 + data.length);
  return framed;
}

/**
 * The records of a file's bytes. A last record that is cut short, as a process that was killed leaves it, is left out.
 * @throws ApolloError BAD_ARGUMENT when a checksum is wrong, with the offset of the record.
 */
export function* readRecords(file: Buffer): Generator<Buffer, void, void> {
  let at = 0;
  while (file.length - at >= 12) {
    if (file.readUInt32LE(at + 8) !== masked(file.subarray(at, at + 8))) throw damaged(at, 'length');
    const length = Number(file.readBigUInt64LE(at));
    if (file.length - at < 16 + length) return;
    const data = file.subarray(at + 12, at + 12 + length);
    if (file.readUInt32LE(at + 12 + length) !== masked(data)) throw damaged(at, 'data');
    yield data;
    at += 16 + length;
  }
}

function damaged(offset: number, what: string): ApolloError {
  return new ApolloError(
    'BAD_ARGUMENT',
    `The record at byte ${offset} is damaged: its ${what} does not match the checksum. Is this a TFRecord file?`,
  );
}
