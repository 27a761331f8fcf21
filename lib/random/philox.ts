/**
 * Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): random numbers as a pure
 * function of (seed, stream, step), so that nothing about them is ever saved. The same generator as
 * native/core/philox.h.
 */

import { check } from '../errors.js';
import * as is from '../is.js';
import { families } from './streams.js';

/** Four or two unsigned 32-bit words. */
export type Words4 = readonly [number, number, number, number];
/** Two words of 32 bits: a key of Philox. */
export type Words2 = readonly [number, number];

const multiplier0 = 0xd2511f53;
const multiplier1 = 0xcd9e8d57;
const weyl0 = 0x9e3779b9;
const weyl1 = 0xbb67ae85;

/** High 32 bits of the 64-bit product of two unsigned 32-bit integers, by 16-bit halves (every sum stays below 2^53). */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + Math.floor(middle / 65536) + Math.floor(carry / 65536)) >>> 0;
}

const takesPhilox4x32 = is.takes('philox4x32', { counter: is.tuple(4), key: is.tuple(2) });

/**
 * 128 random bits, as four unsigned 32-bit words, of a 128-bit counter under a 64-bit key; ten rounds.
 * @example
 * const words = philox4x32([0, 0, 0, 0], seedWords(42)); // four words of 32 bits
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function philox4x32(counter: Words4, key: Words2): [number, number, number, number] {
  takesPhilox4x32(counter, key);

  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(multiplier0, c0);
    const low0 = Math.imul(multiplier0, c0) >>> 0;
    const high1 = multiplyHigh(multiplier1, c2);
    const low1 = Math.imul(multiplier1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + weyl0) >>> 0;
    k1 = (k1 + weyl1) >>> 0;
  }
  return [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0];
}

const takesSeedWords = is.takes('seedWords', { seed: is.number });

/**
 * A seed as the two words of a Philox key, [low, high]; different safe integers give different keys (a negative one
 * in two's complement).
 * @example
 * seedWords(42) // [42, 0]
 * @throws ApolloError BAD_ARGUMENT for anything that is not a safe integer.
 */
export function seedWords(seed: number): [number, number] {
  takesSeedWords(seed);

  check(Number.isSafeInteger(seed), `seed must be a safe integer (at most 2^53 - 1 in size); got ${seed}.`);
  return [seed >>> 0, Math.floor(seed / 4294967296) >>> 0];
}

const takesUniform = is.takes('uniformNumber', { seed: is.number, stream: is.number, step: is.number });

/**
 * A number in [0, 1) with 53 random bits: a pure function of a safe-integer seed, a 32-bit stream (one per use) and a
 * step below 2^53. The counter's last word is all ones; dropout counts micro-batches there, so the two never meet.
 * @example
 * uniformNumber(42, depthStream, 7) // the same on every machine
 * @throws ApolloError BAD_ARGUMENT for a seed, stream or step out of range.
 */
export function uniform(seed: number, stream: number, step: number): number {
  takesUniform(seed, stream, step);

  check(Number.isSafeInteger(step) && step >= 0, `step must be a whole number >= 0; got ${step}.`);
  check(
    Number.isInteger(stream) && stream >= 0 && stream <= 0xffffffff,
    `stream must be a whole number in [0, 2^32); got ${stream}.`,
  );
  const [high, low] = philox4x32(
    [step >>> 0, Math.floor(step / 4294967296), stream, families.uniform],
    seedWords(seed),
  );
  return ((high >>> 5) * 67108864 + (low >>> 6)) / 9007199254740992;
}
