/**
 * The random stream of Apollo's released code: Python's Mersenne Twister (Matsumoto & Nishimura, 1998), seeded with an
 * integer. Its state walks with every draw, which is why runs use Philox instead; it is here to replay the release.
 */
import { check } from '../errors.js';
import * as is from '../is.js';

const size = 624;
const middle = 397;

const takesNewMt19937 = is.takes('new Mt19937', { seed: is.number });

/**
 * The Mersenne Twister with the seeding of Python's `random`: the draws of released code that used it.
 * @example
 * new Mt19937(42).next() // in [0, 1)
 */
export class Mt19937 {
  readonly #state = new Uint32Array(size);
  #index = size;

  /** @throws ApolloError BAD_ARGUMENT unless `seed` is a safe integer >= 0. */
  constructor(seed: number) {
    takesNewMt19937(seed);

    check(Number.isSafeInteger(seed) && seed >= 0, `An MT19937 seed must be a safe integer >= 0; got ${seed}.`);
    const low = seed >>> 0;
    const high = Math.floor(seed / 4294967296);
    this.#initialiseByArray(high > 0 ? [low, high] : [low]);
  }

  #initialiseByArray(key: readonly number[]): void {
    const state = this.#state;
    const mixed = (i: number) => {
      const previous = state[i - 1] as number;
      return previous ^ (previous >>> 30);
    };
    state[0] = 19650218;
    for (let i = 1; i < size; i++) state[i] = Math.imul(1812433253, mixed(i)) + i;
    let i = 1;
    const wrap = () => {
      if (++i < size) return;
      state[0] = state[size - 1] as number;
      i = 1;
    };
    for (let k = 0; k < size; k++) {
      const word = k % key.length;
      state[i] = ((state[i] as number) ^ Math.imul(mixed(i), 1664525)) + (key[word] as number) + word;
      wrap();
    }
    for (let k = 1; k < size; k++) {
      state[i] = ((state[i] as number) ^ Math.imul(mixed(i), 1566083941)) - i;
      wrap();
    }
    state[0] = 0x80000000;
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < size; i++) {
      const y = ((state[i] as number) & 0x80000000) | ((state[(i + 1) % size] as number) & 0x7fffffff);
      state[i] = (state[(i + middle) % size] as number) ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#index = 0;
  }

  /** The next 32 bits. */
  nextWord(): number {
    if (this.#index === size) this.#twist();
    let y = this.#state[this.#index++] as number;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /** The next number in [0, 1), 53 bits from two words: Python's `random.random()`. */
  next(): number {
    const high = this.nextWord() >>> 5;
    const low = this.nextWord() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }
}
