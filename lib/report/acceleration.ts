/**
 * The acceleration ratio: what a method spends until it reaches the loss that training from scratch ends with, against
 * what training from scratch spends in all (Apollo paper, section "Experiments"). Pure arithmetic on curves.
 */
import { check } from '../errors.js';
import * as is from '../is.js';
import { type Costs, costNames, type EvaluationPoint } from './results.js';

/** Evaluations whose mean is a run's final loss, and the window of the running median. Fixed before any run. */
export const finalEvaluations = 3;
export const medianWindow = 3;

const takesFinalLoss = is.takes('finalLoss', {
  evaluations: is.list(is.object('an evaluation (from a run)', { lossFull: is.anyNumber })),
  count: is.count,
});

/**
 * The mean loss of the last `count` evaluations (of all, when there are fewer). The evaluation before the first step
 * counts only where there is no other.
 * @param evaluations Evaluations of a run, in rising order of their steps; at least one.
 * @param count How many of the last are averaged. Default: 3.
 * @example
 * finalLoss(results.runs[0]!.evaluations);
 * @throws ApolloError BAD_ARGUMENT without evaluations.
 */
export function finalLoss(evaluations: readonly EvaluationPoint[], count: number = finalEvaluations): number {
  takesFinalLoss(evaluations, count);

  check(evaluations.length > 0, 'the final loss of a run needs at least one evaluation; got none');
  const trained = evaluations.filter(({ step }) => step !== 0);
  const last = (trained.length > 0 ? trained : evaluations).slice(-count);
  return last.reduce((sum, point) => sum + point.lossFull, 0) / last.length;
}

const takesRunningMedian = is.takes('runningMedian', { values: is.list(is.anyNumber), window: is.number });

/**
 * The running median of `values` over `window` (odd) neighbours. Towards both ends the window shrinks evenly, so that a
 * monotone curve stays as it is.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function runningMedian(values: readonly number[], window: number = medianWindow): number[] {
  takesRunningMedian(values, window);

  check(window % 2 === 1 && window > 0, `the window of a running median must be odd and positive; got ${window}`);
  return values.map((_, index) => {
    const half = Math.min((window - 1) / 2, index, values.length - 1 - index);
    const sorted = values.slice(index - half, index + half + 1).sort((a, b) => a - b);
    return sorted[half]!;
  });
}

const takesRunningMinimum = is.takes('runningMinimum', { values: is.list(is.anyNumber) });

/**
 * The smallest value so far, at each place.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function runningMinimum(values: readonly number[]): number[] {
  takesRunningMinimum(values);

  let least = Number.POSITIVE_INFINITY;
  return values.map((value) => {
    least = Math.min(least, value);
    return least;
  });
}

/** A loss curve as it is compared: running median, then running minimum. */
export function smoothedLosses(evaluations: readonly EvaluationPoint[]): number[] {
  return runningMinimum(runningMedian(evaluations.map((point) => point.lossFull)));
}

/** Where a run meets a target loss, or by how much it misses it. */
export type Crossing =
  | { readonly reached: true; readonly step: number; readonly costs: Costs }
  | { readonly reached: false; readonly gap: number; readonly costs: Costs };

const takesCrossing = is.takes('crossing', { evaluations: is.evaluations, target: is.anyNumber });

/**
 * The first point at which the smoothed curve is at or below `target`, linear between the two evaluations around it:
 * C = C_a + (C_b - C_a) (L_a - target) / (L_a - L_b). A run that never gets there is `not reached`, with the gap that is
 * left and all it spent; nothing is extrapolated. Evaluations whose loss is not finite are left out.
 *
 * @example crossing(run.evaluations, finalLoss(scratch.evaluations))
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function crossing(evaluations: readonly EvaluationPoint[], target: number): Crossing {
  takesCrossing(evaluations, target);

  const points = evaluations.filter(({ lossFull }) => Number.isFinite(lossFull));
  const losses = smoothedLosses(points);
  const index = losses.findIndex((loss) => loss <= target);
  if (index < 0) return { reached: false, gap: (losses.at(-1) ?? Number.NaN) - target, costs: totalCosts(evaluations) };
  const after = points[index]!;
  if (index === 0) return { reached: true, step: after.step, costs: pickCosts((cost) => after[cost]) };
  const before = points[index - 1]!;
  const share = (losses[index - 1]! - target) / (losses[index - 1]! - losses[index]!);
  return {
    reached: true,
    step: before.step + (after.step - before.step) * share,
    costs: pickCosts((cost) => before[cost] + (after[cost] - before[cost]) * share),
  };
}

const takesTotalCosts = is.takes('totalCosts', { evaluations: is.evaluations });

/**
 * Everything a run spent: the costs at its last evaluation.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function totalCosts(evaluations: readonly EvaluationPoint[]): Costs {
  takesTotalCosts(evaluations);

  const last = evaluations.at(-1);
  check(last, 'the costs of a run need at least one evaluation; got none');
  return pickCosts((cost) => last[cost]);
}

const takesSavings = is.takes('savings', { spent: is.costs, reference: is.costs });

/**
 * 1 - spent / reference per cost; 0.44 is a saving of 44 %. A reference cost of 0 gives NaN.
 * @example
 * const { flopsModel } = savings(spent, reference); // 0.3: 30 % less
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function savings(spent: Costs, reference: Costs): Costs {
  takesSavings(spent, reference);

  return pickCosts((cost) => 1 - spent[cost] / reference[cost]);
}

export function addCosts(a: Costs, b: Costs): Costs {
  return pickCosts((cost) => a[cost] + b[cost]);
}

function pickCosts(value: (cost: (typeof costNames)[number]) => number): Costs {
  return Object.fromEntries(costNames.map((cost) => [cost, value(cost)])) as Record<(typeof costNames)[number], number>;
}
