/**
 * Initial values of LiGO's operators (Wang et al., "Learning to Grow Pretrained Models for Efficient Transformer
 * Training", ICLR 2023), as its released code sets them: rows of the width operators, which make new units out of old
 * ones, and depth weights, which make a layer out of all small layers.
 */

import { check } from '../errors.js';
import * as is from '../is.js';
import { philox4x32, seedWords } from '../random/philox.js';
import { families } from '../random/streams.js';
import { interpolate, stackModulo } from './maps.js';

/**
 * Initial operator row of a new unit. 'rand': a random average of all old units (uniform weights, divided by their sum). 'sel': a copy
 * of one old unit, drawn at random.
 * @example
 * widthInits.includes('rand')
 */
export const widthInits = ['rand', 'sel'] as const;
/** How the added rows of LiGO's width operators begin, see {@link initialWidthRows}. */
export type WidthInit = (typeof widthInits)[number];

/**
 * Initial operator row of a layer. 'stackbert': as small layer `l mod L1`. 'stackbert_noisy': the same with a little of all others.
 * 'interpolate': as small layer `floor(l L1 / L2)`.
 * @example
 * depthInits.includes('stackbert')
 */
export const depthInits = ['stackbert_noisy', 'stackbert', 'interpolate'] as const;
/** How LiGO's depth operators begin, see {@link initialDepthWeights}. */
export type DepthInit = (typeof depthInits)[number];

/** Which random numbers an operator draws: different operators of a seed draw different ones. */
export interface OperatorSeed {
  /** Seed of the run, a whole number. */
  readonly seed: number;
  /** Number of the operator, a whole number below 2^32. */
  readonly operator: number;
}

/** Upper end of the noise in 'stackbert_noisy'. */
const depthNoise = 0.03;

/** `count` numbers, uniform in [0, 1). */
function uniforms(count: number, { seed, operator }: OperatorSeed): Float64Array {
  const key = seedWords(seed);
  const values = new Float64Array(count);
  for (let i = 0; i < count; i += 4) {
    const words = philox4x32([i / 4, operator, 0, families.operator], key);
    for (let j = 0; j < 4 && i + j < count; j++) values[i + j] = (words[j] as number) / 4294967296;
  }
  return values;
}

/** Divides each row of `values` [rows, columns] by its sum. */
function normaliseRows(values: Float64Array, columns: number): Float64Array {
  for (let start = 0; start < values.length; start += columns) {
    const row = values.subarray(start, start + columns);
    const sum = row.reduce((a, b) => a + b, 0);
    for (let i = 0; i < columns; i++) row[i] = (row[i] as number) / sum;
  }
  return values;
}

const takesInitialWidthRows = is.takes('initialWidthRows', {
  init: is.oneOf('rand', 'sel'),
  sizes: is.options({ added: is.index, old: is.count }),
  from: is.operatorSeed,
  noise: is.notNegative,
});

/**
 * S [added, old], row-major: the lower part of a width operator [I; S], one row for each new unit. `noise` is the upper
 * end of uniform noise on every entry of 'sel', so that two copies of one unit can part.
 * @param init How a row starts.
 * @param sizes Size of S.
 * @param from Seed and number of the operator, for random values.
 * @param noise Upper end of the uniform noise of 'sel', 0 or more. Default: 0.
 * @example
 * initialWidthRows('rand', { added: 2, old: 4 }, { seed: 42, operator: 0 });
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function initialWidthRows(
  init: WidthInit,
  sizes: {
    /** Number of new units. */
    readonly added: number;
    /** Number of units that there are. */
    readonly old: number;
  },
  from: OperatorSeed,
  noise = 0,
): Float32Array {
  takesInitialWidthRows(init, sizes, from, noise);
  const { added, old } = sizes;
  if (init === 'rand') return Float32Array.from(normaliseRows(uniforms(added * old, from), old));
  const draws = uniforms(added + (noise > 0 ? added * old : 0), from);
  const rows = Float32Array.from({ length: added * old }, (_, i) => noise * (draws[added + i] ?? 0));
  for (let row = 0; row < added; row++) {
    rows[row * old + Math.floor((draws[row] as number) * old)]! += 1;
  }
  return rows;
}

const takesInitialDepthWeights = is.takes('initialDepthWeights', {
  init: is.oneOf('stackbert_noisy', 'stackbert', 'interpolate'),
  place: is.options({ layer: is.index, small: is.count, large: is.count }),
  from: is.operatorSeed,
});

/**
 * w [small]: the weight of each small layer in layer `layer` of `large`. Rows sum to 1.
 * @param init How small layers are chosen, and whether noise is added.
 * @param place Which layer, and of how many.
 * @param from Seed and number of the operator, for the noise.
 * @example
 * initialDepthWeights('stackbert', { layer: 0, small: 3, large: 6 }, { seed: 42, operator: 0 });
 * @throws ApolloError BAD_ARGUMENT unless 1 <= small <= large and layer < large.
 */
export function initialDepthWeights(
  init: DepthInit,
  place: {
    /** The layer of the large network, from 0. */
    readonly layer: number;
    /** Number of layers of the small network. */
    readonly small: number;
    /** Number of layers of the large network. */
    readonly large: number;
  },
  from: OperatorSeed,
): Float32Array {
  takesInitialDepthWeights(init, place, from);
  const { layer, small, large } = place;
  const map = (init === 'interpolate' ? interpolate : stackModulo)(small, large);
  const main = map[layer];
  check(main !== undefined, `There is no layer ${layer} in a network of ${large}.`);
  const noise = init === 'stackbert_noisy' ? uniforms(small, from) : new Float64Array(small);
  const row = noise.map((x, j) => (j === main ? 1 : depthNoise * x));
  return Float32Array.from(normaliseRows(row, small));
}
