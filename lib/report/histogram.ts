/** Distribution of many numbers: counts in bins of equal width, with mean, deviation and kurtosis. */
import { check } from '../errors.js';

export interface HistogramOptions {
  /** Bins of equal width, 64 unless told. */
  readonly bins?: number | undefined;
  /** Lower and upper end of the bins; from the smallest to the greatest value unless told. */
  readonly range?: readonly [number, number] | undefined;
}

/** Plain data, so that it can stand in a JSON file. */
export interface Histogram {
  /** Values in each bin [edges[i], edges[i + 1]); the last bin includes its upper edge. */
  readonly counts: readonly number[];
  /** One more than bins. */
  readonly edges: readonly number[];
  /** Values under and over the range; they are in no bin, but in the three figures below. */
  readonly below: number;
  readonly above: number;
  readonly mean: number;
  /** Deviation of the population: divided by the number of values. */
  readonly sd: number;
  /** Fourth central moment over the squared variance; 3 for a normal distribution, undefined where all values are equal. */
  readonly kurtosis: number | undefined;
}

/**
 * The histogram of `values`.
 *
 * @example histogram(Float32Array.of(0, 1, 1, 4), { bins: 2 }).counts // [3, 1], with edges [0, 2, 4]
 * @throws ApolloError BAD_ARGUMENT for no values, a value that is not finite, bins that are not a whole number >= 1, or a
 * range that does not rise.
 */
export function histogram(values: Float32Array, { bins = 64, range }: HistogramOptions = {}): Histogram {
  check(values.length > 0, 'A histogram needs at least one value; got none.');
  check(Number.isSafeInteger(bins) && bins >= 1, `A histogram needs a whole number of bins >= 1; got ${bins}.`);
  let [least, greatest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  values.forEach((value, i) => {
    check(Number.isFinite(value), `A histogram needs finite values; value ${i} is ${value}.`);
    least = Math.min(least, value);
    greatest = Math.max(greatest, value);
  });
  const [low, high] = range ?? (least < greatest ? [least, greatest] : [least - 0.5, least + 0.5]);
  check(
    Number.isFinite(low) && Number.isFinite(high) && low < high,
    `A histogram's range must rise, from one finite number to another; got [${low}, ${high}].`,
  );
  const edges = Array.from({ length: bins + 1 }, (_, i) => low + ((high - low) * i) / bins);
  edges[bins] = high;
  const counts = new Array<number>(bins).fill(0);
  let [below, above] = [0, 0];
  for (const value of values) {
    if (value < low) below++;
    else if (value > high) above++;
    else counts[binOf(value, edges)]!++;
  }
  return { counts, edges, below, above, ...moments(values) };
}

/** The bin of a value within the range; the quotient may be off by rounding, the edges decide. */
function binOf(value: number, edges: readonly number[]): number {
  const bins = edges.length - 1;
  const low = edges[0]!;
  let bin = Math.min(bins - 1, Math.floor(((value - low) / (edges[bins]! - low)) * bins));
  while (bin > 0 && value < edges[bin]!) bin--;
  while (bin < bins - 1 && value >= edges[bin + 1]!) bin++;
  return bin;
}

/** In two passes, so that a mean far from zero costs no digits. */
function moments(values: Float32Array): Pick<Histogram, 'mean' | 'sd' | 'kurtosis'> {
  let sum = 0;
  for (const value of values) sum += value;
  const mean = sum / values.length;
  let [second, fourth] = [0, 0];
  for (const value of values) {
    const square = (value - mean) ** 2;
    second += square;
    fourth += square * square;
  }
  const variance = second / values.length;
  const kurtosis = variance > 0 ? fourth / values.length / variance ** 2 : undefined;
  return { mean, sd: Math.sqrt(variance), kurtosis };
}
