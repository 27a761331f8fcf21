/**
 * As much of the protocol-buffer wire format as event files need: fields to bytes and back. Messages are lists of encoded
 * fields. Source: protobuf.dev, "Encoding".
 */
import { ApolloError } from '../errors.js';

const varintType = 0;
const fixed64Type = 1;
const bytesType = 2;
const fixed32Type = 5;

/** Little-endian groups of seven bits; negative numbers as 64-bit two's complement. */
function encodeVarint(value: number | bigint): Uint8Array {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

const tag = (field: number, type: number) => encodeVarint((field << 3) | type);

/** An integer, enumeration or flag. */
export function varintField(field: number, value: number | bigint): Uint8Array {
  return Buffer.concat([tag(field, varintType), encodeVarint(value)]);
}

export function doubleField(field: number, value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([tag(field, fixed64Type), bytes]);
}

export function floatField(field: number, value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([tag(field, fixed32Type), bytes]);
}

/** Bytes, or text as UTF-8. */
export function bytesField(field: number, value: Uint8Array | string): Uint8Array {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([tag(field, bytesType), encodeVarint(bytes.length), bytes]);
}

/** A message within a message. */
export function messageField(field: number, fields: readonly Uint8Array[]): Uint8Array {
  return bytesField(field, Buffer.concat(fields));
}

/** A repeated double, packed. */
export function doublesField(field: number, values: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, index) => bytes.writeDoubleLE(value, 8 * index));
  return bytesField(field, bytes);
}

/** A field as it is in a message: the number of a varint, the bytes of everything else. */
export interface ProtoField {
  readonly field: number;
  readonly varint: bigint;
  readonly bytes: Buffer;
}

const nothing = Buffer.alloc(0);

/** The fields of a message in their order. @throws ApolloError BAD_ARGUMENT when it ends within one. */
export function* decodeFields(message: Buffer): Generator<ProtoField, void, void> {
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++];
      if (byte === undefined || shift > 63n) throw broken('a number has no end');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
  };
  const take = (length: number) => {
    if (length > message.length - at) throw broken(`a field has ${message.length - at} of ${length} bytes`);
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const key = Number(varint());
    const field = key >>> 3;
    const type = key & 7;
    if (type === varintType) yield { field, varint: varint(), bytes: nothing };
    else if (type === fixed64Type) yield { field, varint: 0n, bytes: take(8) };
    else if (type === fixed32Type) yield { field, varint: 0n, bytes: take(4) };
    else if (type === bytesType) yield { field, varint: 0n, bytes: take(Number(varint())) };
    else throw broken(`field ${field} has wire type ${type}`);
  }
}

function broken(what: string): ApolloError {
  return new ApolloError('BAD_ARGUMENT', `This is not a protocol-buffer message: ${what}.`);
}
