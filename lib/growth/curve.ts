/**
 * Stage boundaries chosen from the training loss: a stage ends when what its next FLOP will buy falls below what the next
 * stage's first FLOP promises. The promise is an estimate: the next stage is taken to learn as much a step as this one
 * did at its best, and to cost what its steps cost.
 */
import { check } from '../errors.js';
import * as is from '../is.js';

/** When a stage ends by the loss curve, see {@link curveBoundaries}. */
export interface CurveRule {
  /** Steps of a window; decisions fall at multiples of it. */
  readonly window: number;
  /** Expected cost of a step in each stage, in any unit. */
  readonly costs: readonly number[];
  /** Last possible end of each stage but the last, in steps, in rising order. */
  readonly latest: readonly number[];
  /** Factor on the promise of the next stage: above 1 stages end sooner. */
  readonly margin: number;
}

/** Windows over which a drop is taken: two neighbours' noise would decide too much. */
const span = 2;

const takesCurveBoundaries = is.takes('curveBoundaries', {
  means: is.list(is.anyNumber),
  rule: is.options({ window: is.number, costs: is.list(is.number), latest: is.list(is.number), margin: is.number }),
});

/**
 * Ends of the stages, as far as windows with these mean losses tell; stages whose end is not decided yet have their
 * latest one. Deciding never looks ahead: more windows leave what was decided as it is.
 * @param means Mean training loss of windows 0, 1, …; NaN for a window without a finite loss, which decides nothing.
 * @param rule Length of a window, costs and latest ends of the stages, and the margin of a decision.
 * @returns One boundary less than there are stages, in steps.
 * @example curveBoundaries([9, 8, 7, 6.9, 6.85], { window: 10, costs: [1, 2], latest: [500], margin: 1 }) // [50]
 * @throws ApolloError BAD_ARGUMENT for a rule that does not fit together.
 */
export function curveBoundaries(means: readonly number[], rule: CurveRule): number[] {
  takesCurveBoundaries(means, rule);
  const { window, costs, latest, margin } = rule;
  check(Number.isSafeInteger(window) && window >= 1, `A window has a whole number of steps >= 1; got ${window}.`);
  check(
    costs.length === latest.length + 1 && costs.every((cost) => cost > 0 && Number.isFinite(cost)),
    `${latest.length + 1} stages need as many costs > 0; got [${costs.join(', ')}].`,
  );
  check(margin > 0 && Number.isFinite(margin), `margin must be a number > 0; got ${margin}.`);
  const ends: number[] = [];
  for (const [stage, last] of latest.entries()) {
    const begin = ends.at(-1) ?? 0;
    const promised = (margin * (costs[stage] as number)) / (costs[stage + 1] as number);
    ends.push(Math.max(begin, Math.min(last, endOfStage(means, { window, begin, last, promised }))));
  }
  return ends;
}

/** First multiple of the window at which the stage that started at `begin` must end; infinity when none is known. */
function endOfStage(
  means: readonly number[],
  { window, begin, last, promised }: { window: number; begin: number; last: number; promised: number },
): number {
  const first = Math.ceil(begin / window); // windows that are in the stage as a whole
  let best = 0;
  for (let index = first + span; index < means.length && (index + 1) * window < last; index++) {
    const drop = (means[index - span] as number) - (means[index] as number);
    if (Number.isNaN(drop)) continue;
    best = Math.max(best, drop);
    if (drop < promised * best) return (index + 1) * window;
  }
  return Number.POSITIVE_INFINITY;
}
