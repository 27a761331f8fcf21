/** Pure statistics of the figures: gradients of a model, and distributions of values counted on a fixed grid. */
import { check } from '../../../lib/errors.js';

/** Mean and standard deviation over all of something (not a sample of it). */
export interface Moments {
  readonly count: number;
  readonly mean: number;
  readonly sd: number;
}

export interface GradientStatistics {
  /** Norm of all gradients together. */
  readonly norm: number;
  /** Over tensors: the L2 norm of each. */
  readonly tensors: Moments;
  /** Over all entries of all tensors: their absolute values, and the values with their sign. */
  readonly absolute: Moments;
  readonly signed: Moments;
}

function moments(count: number, sum: number, squares: number): Moments {
  const mean = sum / count;
  return { count, mean, sd: Math.sqrt(Math.max(0, squares / count - mean * mean)) };
}

/** Statistics of a model's gradients, one array a tensor. @throws ApolloError BAD_ARGUMENT when there are none. */
export function gradientStatistics(tensors: readonly Float32Array[]): GradientStatistics {
  check(tensors.length > 0 && tensors.every(({ length }) => length > 0), 'gradients of at least one entry are needed');
  let [count, sum, magnitude, squares, norms] = [0, 0, 0, 0, 0];
  for (const tensor of tensors) {
    let own = 0;
    for (const value of tensor) {
      sum += value;
      magnitude += Math.abs(value);
      own += value * value;
    }
    count += tensor.length;
    squares += own;
    norms += Math.sqrt(own);
  }
  return {
    norm: Math.sqrt(squares),
    tensors: moments(tensors.length, norms, squares),
    absolute: moments(count, magnitude, squares),
    signed: moments(count, sum, squares),
  };
}

/** Results of `Distribution` as plain data. */
export interface DistributionSummary extends Moments {
  /** Fourth central moment over the squared variance: 3 for a normal distribution. */
  readonly kurtosis: number;
  /** Share of the values beyond the grid. */
  readonly outside: number;
}

/**
 * Values counted in `bins` equal parts of [-range, range]; those beyond it count in the outermost. Takes any number of
 * values in constant memory, and their moments exactly.
 */
export class Distribution {
  readonly counts: Float64Array;
  #outside = 0;
  readonly #sums = [0, 0, 0, 0, 0]; // of powers 0 to 4

  constructor(
    readonly range = 32,
    readonly bins = 1 << 14,
  ) {
    check(range > 0 && Number.isSafeInteger(bins) && bins > 0, `a grid needs a range and bins; got ${range}, ${bins}`);
    this.counts = new Float64Array(bins);
  }

  get width(): number {
    return (2 * this.range) / this.bins;
  }

  add(values: ArrayLike<number>): void {
    const { counts, range, bins } = this;
    const scale = bins / (2 * range);
    let [s1, s2, s3, s4] = [0, 0, 0, 0];
    for (let i = 0; i < values.length; i++) {
      const value = values[i] as number;
      const square = value * value;
      s1 += value;
      s2 += square;
      s3 += square * value;
      s4 += square * square;
      if (value < -range || value >= range) this.#outside++;
      const bin = Math.min(bins - 1, Math.max(0, Math.floor((value + range) * scale)));
      counts[bin] = (counts[bin] as number) + 1;
    }
    [values.length, s1, s2, s3, s4].forEach((value, power) => {
      this.#sums[power] = (this.#sums[power] as number) + value;
    });
  }

  get summary(): DistributionSummary {
    const [n, s1, s2, s3, s4] = this.#sums as [number, number, number, number, number];
    check(n > 0, 'a distribution of no values has no moments');
    const { mean, sd } = moments(n, s1, s2);
    const variance = sd * sd;
    const fourth = s4 / n - (4 * mean * s3) / n + (6 * mean * mean * s2) / n - 3 * mean ** 4;
    return { count: n, mean, sd, kurtosis: variance > 0 ? fourth / variance ** 2 : 0, outside: this.#outside / n };
  }

  /** Density in `parts` equal parts of [-limit, limit], as [middle, density]; `limit` is rounded up to whole bins. */
  density(limit: number, parts: number): [number, number][] {
    const half = this.bins / 2;
    const each = Math.max(1, Math.ceil((limit / this.width) * (2 / parts)));
    const total = this.summary.count;
    return Array.from({ length: parts }, (_, part) => {
      const first = half + (part - parts / 2) * each;
      let sum = 0;
      for (let bin = Math.max(0, first); bin < Math.min(this.bins, first + each); bin++) {
        sum += this.counts[bin] as number;
      }
      return [(part - parts / 2 + 0.5) * each * this.width, sum / (total * each * this.width)];
    });
  }
}

function checkGrids(a: Distribution, b: Distribution): void {
  check(a.range === b.range && a.bins === b.bins, 'two distributions are compared on one grid; these have two');
}

/** Wasserstein-1 distance: the area between the two distribution functions, exact to the width of a bin. */
export function wasserstein(a: Distribution, b: Distribution): number {
  checkGrids(a, b);
  const [na, nb] = [a.summary.count, b.summary.count];
  let [difference, area] = [0, 0];
  for (let bin = 0; bin < a.bins; bin++) {
    difference += (a.counts[bin] as number) / na - (b.counts[bin] as number) / nb;
    area += Math.abs(difference) * a.width;
  }
  return area;
}

/** Common area of the two histograms with `merge` bins of the grid in one: 1 for equal ones, 0 for disjoint ones. */
export function overlap(a: Distribution, b: Distribution, merge = 16): number {
  checkGrids(a, b);
  const [na, nb] = [a.summary.count, b.summary.count];
  let common = 0;
  for (let first = 0; first < a.bins; first += merge) {
    let [p, q] = [0, 0];
    for (let bin = first; bin < Math.min(a.bins, first + merge); bin++) {
      p += (a.counts[bin] as number) / na;
      q += (b.counts[bin] as number) / nb;
    }
    common += Math.min(p, q);
  }
  return common;
}
