/** One comparison out of several that differ in the learning rate: each method at the rate with which it ends best. */
import { finalLoss } from '../../lib/report/acceleration.js';
import { spread } from '../../lib/report/aggregate.js';
import type { Results } from '../../lib/report/results.js';

export interface RatedResults {
  /** Peak learning rate. */
  readonly rate: number;
  readonly results: Results;
}

/**
 * The runs of each method at the rate with the lowest final loss, mean over seeds, and those rates by method. All else is
 * taken from the first of the comparisons.
 */
export function atBetterRates(made: readonly RatedResults[]): {
  readonly results: Results;
  readonly rates: ReadonlyMap<string, number>;
} {
  const first = made[0]!.results;
  const methods = [...new Set(first.runs.map(({ method }) => method))];
  const rates = new Map<string, number>();
  const runs = methods.flatMap((method) => {
    const candidates = made.map(({ rate, results }) => {
      const own = results.runs.filter((run) => run.method === method);
      return { rate, own, loss: spread(own.map(({ evaluations }) => finalLoss(evaluations))).mean };
    });
    const best = candidates.reduce((best, other) => (other.loss < best.loss ? other : best));
    rates.set(method, best.rate);
    return best.own;
  });
  return { results: { ...first, runs }, rates };
}
