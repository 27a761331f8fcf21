/**
 * Frontiers of runs that each went to the end of their own schedule: what loss a method reaches for a budget, and what
 * budget it needs for a loss. A curve of one long run says less, for its learning rate is still high in the middle.
 */
import { finalLoss, totalCosts } from '../../lib/report/acceleration.js';
import { spread } from '../../lib/report/aggregate.js';
import type { Results } from '../../lib/report/results.js';

/** One finished run. */
export interface AnnealedRun {
  readonly method: string;
  readonly seed: number;
  readonly steps: number;
  /** Peak learning rate. */
  readonly rate: number;
  readonly loss: number;
  readonly flops: number;
}

/** The finished runs of a comparison, each with its final loss and all its model FLOPs. */
export function annealedRuns(results: Results, rate: number): AnnealedRun[] {
  return results.runs
    .filter(({ finished }) => finished)
    .map(({ method, seed, evaluations }) => ({
      method,
      seed,
      steps: results.totalSteps,
      rate,
      loss: finalLoss(evaluations, 1),
      flops: totalCosts(evaluations).flopsModel,
    }));
}

/** The rate with the lowest loss, mean over seeds, of a method's runs of one length. */
export function bestRate(runs: readonly AnnealedRun[]): number {
  const rates = [...new Set(runs.map(({ rate }) => rate))];
  const meanLoss = (rate: number) => spread(runs.filter((run) => run.rate === rate).map(({ loss }) => loss)).mean;
  return rates.reduce((best, rate) => (meanLoss(rate) < meanLoss(best) ? rate : best));
}

/** A method's runs at the best rate of each length, shortest first; several seeds a length. */
export function frontier(runs: readonly AnnealedRun[], method: string): AnnealedRun[] {
  const own = runs.filter((run) => run.method === method);
  const lengths = [...new Set(own.map(({ steps }) => steps))].sort((a, b) => a - b);
  return lengths.flatMap((steps) => {
    const ofLength = own.filter((run) => run.steps === steps);
    const rate = bestRate(ofLength);
    return ofLength.filter((run) => run.rate === rate);
  });
}

/** FLOPs for a loss: found between two runs, less than the shortest, or more than the longest. */
export type Needed =
  | { readonly kind: 'between'; readonly flops: number }
  | { readonly kind: 'less' | 'more'; readonly flops: number };

/**
 * FLOPs that one seed's frontier needs for a loss, linear in log FLOPs between its runs; nothing is extrapolated.
 * @example flopsFor([{ flops: 1, loss: 4 }, { flops: 4, loss: 2 }], 3) // { kind: 'between', flops: 2 }
 */
export function flopsFor(points: readonly Pick<AnnealedRun, 'flops' | 'loss'>[], loss: number): Needed {
  const sorted = [...points].sort((a, b) => a.flops - b.flops);
  const after = sorted.findIndex((point) => point.loss <= loss);
  if (after < 0) return { kind: 'more', flops: sorted.at(-1)!.flops };
  if (after === 0) return { kind: 'less', flops: sorted[0]!.flops };
  const [a, b] = [sorted[after - 1]!, sorted[after]!];
  const share = (a.loss - loss) / (a.loss - b.loss);
  return { kind: 'between', flops: a.flops * (b.flops / a.flops) ** share };
}

/** The loss of one seed's frontier at a budget, linear in log FLOPs; undefined outside of its runs. */
export function lossFor(points: readonly Pick<AnnealedRun, 'flops' | 'loss'>[], flops: number): number | undefined {
  const sorted = [...points].sort((a, b) => a.flops - b.flops);
  const after = sorted.findIndex((point) => point.flops >= flops);
  const b = sorted[after];
  if (!b) return undefined;
  if (b.flops === flops) return b.loss;
  const a = sorted[after - 1];
  return a && a.loss + ((b.loss - a.loss) * Math.log(flops / a.flops)) / Math.log(b.flops / a.flops);
}

/** Saved share of the FLOPs of each of the reference's lengths, a value a seed, where the method's frontier holds it. */
export function frontierSavings(
  runs: readonly AnnealedRun[],
  method: string,
  reference: string,
): { readonly steps: number; readonly savings: readonly number[]; readonly others: readonly Needed['kind'][] }[] {
  const own = frontier(runs, method);
  const theirs = frontier(runs, reference);
  return [...new Set(theirs.map(({ steps }) => steps))].map((steps) => {
    const needs = theirs
      .filter((run) => run.steps === steps)
      .map((run) => {
        const points = own.filter(({ seed }) => seed === run.seed);
        return { needed: flopsFor(points, run.loss), flops: run.flops };
      });
    return {
      steps,
      savings: needs.flatMap(({ needed, flops }) => (needed.kind === 'between' ? [1 - needed.flops / flops] : [])),
      others: needs.flatMap(({ needed }) => (needed.kind === 'between' ? [] : [needed.kind])),
    };
  });
}
