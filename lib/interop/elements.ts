/**
 * Element types as they are in files, and their conversion to and from typed arrays. Bytes are little-endian, as on
 * every machine the engine runs on.
 */
import { fromBfloat16, toBfloat16 } from '../engine/dtype.js';

/** Element types that can be written. */
export type Element = 'F32' | 'BF16' | 'F16' | 'I32' | 'I64';
/** Values to write: BF16 and F16 take their bits (Uint16Array) or floats, which are rounded to nearest even. */
export type TensorData = Float32Array | Uint16Array | Int32Array | BigInt64Array;

/** Bits of one element, of the types that the format has (safetensors 0.7). */
const widths: ReadonlyMap<string, number> = new Map([
  ['F4', 4],
  ['F6_E2M3', 6],
  ['F6_E3M2', 6],
  ['BOOL', 8],
  ['U8', 8],
  ['I8', 8],
  ['F8_E4M3', 8],
  ['F8_E5M2', 8],
  ['F8_E8M0', 8],
  ['F8_E4M3FNUZ', 8],
  ['F8_E5M2FNUZ', 8],
  ['I16', 16],
  ['U16', 16],
  ['F16', 16],
  ['BF16', 16],
  ['I32', 32],
  ['U32', 32],
  ['F32', 32],
  ['I64', 64],
  ['U64', 64],
  ['F64', 64],
  ['C64', 64],
]);

/** Bits of one element, or undefined for a type that is not known here. */
export const bitsOf = (dtype: string): number | undefined => widths.get(dtype);

/** Bytes of one element of a type that can be written. */
export const widthOf = (dtype: Element): number => (widths.get(dtype) as number) / 8;

export const elements: readonly Element[] = ['F32', 'BF16', 'F16', 'I32', 'I64'];

export const isElement = (dtype: string): dtype is Element => (elements as readonly string[]).includes(dtype);

/** The floats that IEEE half-precision bits stand for, exactly. */
export function fromFloat16(bits: Uint16Array): Float32Array {
  const result = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const half = bits[i] as number;
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >>> 10) & 31;
    const fraction = half & 1023;
    if (exponent === 31) result[i] = fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    else if (exponent === 0) result[i] = sign * fraction * 2 ** -24;
    else result[i] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return result;
}

/** The largest number below which rounding to half precision stays finite; this one becomes infinity. */
export const float16Overflow = 65520;

/** A whole number of the nearest value, ties to even. */
function roundEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

/** Floats as IEEE half-precision bits, rounded to nearest, ties to even; too large a number becomes infinity. */
export function toFloat16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bits = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as number;
    const size = Math.abs(values[i] as number);
    const sign = (word >>> 16) & 0x8000;
    if (Number.isNaN(size)) bits[i] = 0x7e00;
    else if (size >= float16Overflow) bits[i] = sign | 0x7c00;
    else if (size < 2 ** -14) bits[i] = sign | roundEven(size * 2 ** 24);
    else {
      // The exponent's bias falls from 127 to 15, the fraction from 23 bits to 10.
      const shifted = (word & 0x7fffffff) - (112 << 23);
      bits[i] = sign | ((shifted + 0xfff + ((shifted >>> 13) & 1)) >>> 13);
    }
  }
  return bits;
}

/** Typed arrays need aligned memory; bytes cut out of a larger file may not be. */
function aligned(bytes: Uint8Array, width: number): Uint8Array {
  return bytes.byteOffset % width === 0 ? bytes : bytes.slice();
}

/** Types that are read as floats. */
export const floatDtypes = ['F32', 'BF16', 'F16', 'F64', 'F8_E4M3', 'F8_E5M2'] as const;

/**
 * The value of each byte of an 8-bit float (Micikevicius et al. 2022, "FP8 formats for deep learning"). E4M3 has no
 * infinity and one NaN; E5M2 is the upper byte of a half-precision number.
 */
function float8Values(dtype: 'F8_E4M3' | 'F8_E5M2'): Float32Array {
  if (dtype === 'F8_E5M2') return fromFloat16(Uint16Array.from({ length: 256 }, (_, byte) => byte << 8));
  return Float32Array.from({ length: 256 }, (_, byte) => {
    const sign = byte & 0x80 ? -1 : 1;
    const exponent = (byte >>> 3) & 15;
    const fraction = byte & 7;
    if (exponent === 15 && fraction === 7) return Number.NaN;
    return exponent === 0 ? sign * fraction * 2 ** -9 : sign * (1 + fraction / 8) * 2 ** (exponent - 7);
  });
}

/** Bytes of one of `floatDtypes` as floats, those of F64 rounded to the nearest; undefined for another type. */
export function decodeFloat32(dtype: string, raw: Uint8Array): Float32Array | undefined {
  if (dtype === 'F64') {
    const wide = aligned(raw, 8);
    return Float32Array.from(new Float64Array(wide.buffer, wide.byteOffset, wide.byteLength / 8));
  }
  if (dtype === 'F8_E4M3' || dtype === 'F8_E5M2') {
    const values = float8Values(dtype);
    return Float32Array.from(raw, (byte) => values[byte] as number);
  }
  const bytes = aligned(raw, 4);
  if (dtype === 'F32') return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  if (dtype !== 'BF16' && dtype !== 'F16') return undefined;
  const bits = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  return dtype === 'BF16' ? fromBfloat16(bits) : fromFloat16(bits);
}

/** I32 or I64 bytes as 32-bit integers; 'range' when one does not fit; undefined for another type. */
export function decodeInt32(dtype: string, raw: Uint8Array): Int32Array | 'range' | undefined {
  const bytes = aligned(raw, 8);
  if (dtype === 'I32') return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  if (dtype !== 'I64') return undefined;
  const wide = new BigInt64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8);
  const values = new Int32Array(wide.length);
  for (let i = 0; i < wide.length; i++) {
    values[i] = Number(wide[i]);
    if (BigInt(values[i] as number) !== wide[i]) return 'range';
  }
  return values;
}

/** The bytes of `data` as `dtype`; undefined when that array cannot hold values of the type. */
export function encode(dtype: Element, data: TensorData): Uint8Array | undefined {
  let array = data;
  if (dtype === 'BF16' && data instanceof Float32Array) array = toBfloat16(data);
  if (dtype === 'F16' && data instanceof Float32Array) array = toFloat16(data);
  const fits =
    (dtype === 'F32' && array instanceof Float32Array) ||
    ((dtype === 'BF16' || dtype === 'F16') && array instanceof Uint16Array) ||
    (dtype === 'I32' && array instanceof Int32Array) ||
    (dtype === 'I64' && array instanceof BigInt64Array);
  return fits ? new Uint8Array(array.buffer, array.byteOffset, array.byteLength) : undefined;
}
