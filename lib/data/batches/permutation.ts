/**
 * Shuffled orders without a list: a permutation of 0..size-1 for each (seed, epoch), computed place by place. A
 * Feistel network permutes the next power of two, and places outside of the range are walked on until they fall in
 * (cycle walking, Black and Rogaway, CT-RSA 2002).
 */

import { check } from '../../errors.js';
import { philox4x32, seedWords } from '../../random/philox.js';
import { orderStream } from '../../random/streams.js';

/** MurmurHash3's 32-bit finaliser (Appleby): every output bit depends on every input bit. */
export function mix32(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * The order of one epoch: a function from the place in the epoch to the index drawn there, one-to-one on 0..size-1.
 * @throws ApolloError BAD_ARGUMENT unless 1 <= size < 2^31.
 */
export function epochOrder(size: number, seed: number, epoch: number): (place: number) => number {
  check(
    Number.isInteger(size) && size >= 1 && size < 2 ** 31,
    `An order needs a size from 1 to 2^31 - 1; got ${size}.`,
  );
  const bits = Math.max(2, 32 - Math.clz32(size - 1));
  const lowBits = bits >> 1;
  const lowMask = 2 ** lowBits - 1;
  const highMask = 2 ** (bits - lowBits) - 1;
  const key = seedWords(seed);
  const roundKeys = [0, 1].flatMap((i) => philox4x32([epoch >>> 0, Math.floor(epoch / 2 ** 32), orderStream, i], key));
  const permute = (value: number): number => {
    let low = value & lowMask;
    let high = value >>> lowBits;
    for (let round = 0; round < 8; round += 2) {
      low ^= mix32(high ^ roundKeys[round]!) & lowMask;
      high ^= mix32(low ^ roundKeys[round + 1]!) & highMask;
    }
    return ((high << lowBits) | low) >>> 0;
  };
  return (place) => {
    let value = permute(place);
    while (value >= size) value = permute(value);
    return value;
  };
}
