/** Element types of tensors (32-bit float, bfloat16, 32-bit signed integer) and conversion of bfloat16 bits. */
import * as is from '../is.js';
/** The type of the elements of a tensor. */
export type DType = 'f32' | 'bf16' | 'i32';

/**
 * Bytes of an element of each dtype.
 * @example
 * bytesPerElement.bf16 // 2
 */
export const bytesPerElement: Readonly<Record<DType, number>> = { f32: 4, bf16: 2, i32: 4 };

const takesToBfloat16 = is.takes('toBfloat16', { values: is.float32 });

/**
 * f32 values as bfloat16 bits, rounded to nearest, ties to even; NaN stays NaN.
 * @example
 * toBfloat16(Float32Array.of(1)) // Uint16Array [0x3f80]
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function toBfloat16(values: Float32Array): Uint16Array {
  takesToBfloat16(values);

  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bits = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    bits[i] = Number.isNaN(values[i]) ? 0x7fc0 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return bits;
}

const takesFromBfloat16 = is.takes('fromBfloat16', {
  bits: is.kind('a Uint16Array', (value) => value instanceof Uint16Array),
});

/**
 * bfloat16 bits as f32 values; exact.
 * @example
 * fromBfloat16(Uint16Array.of(0x3f80)) // Float32Array [1]
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function fromBfloat16(bits: Uint16Array): Float32Array {
  takesFromBfloat16(bits);

  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
  return new Float32Array(words.buffer);
}
