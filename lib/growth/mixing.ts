/**
 * The mixing time of a late expansion (arXiv 2511.04981): how many steps after it the grown network needs to come as low
 * as one that had all layers from the start, both at a constant learning rate.
 */
import { check } from '../errors.js';
import * as is from '../is.js';

/** A held-out loss after a number of steps. */
export interface LossPoint {
  /** Updates done before the evaluation. */
  readonly step: number;
  /** Held-out loss in nats per token. */
  readonly loss: number;
}

/** Mean of each point and those before it, `window` points at most, none from before `from`. */
function smoothed(points: readonly LossPoint[], window: number, from: number): Map<number, number> {
  const own = points.filter(({ step }) => step > from);
  return new Map(
    own.map(({ step }, i) => {
      const near = own.slice(Math.max(0, i + 1 - window), i + 1);
      return [step, near.reduce((sum, { loss }) => sum + loss, 0) / near.length];
    }),
  );
}

const takesMixingTime = is.takes('mixingTime', {
  options: is.options({
    grown: is.list(is.lossPoint),
    fixed: is.list(is.lossPoint),
    grownAt: is.number,
    epsilon: is.optional(is.number),
    window: is.optional(is.number),
  }),
});

/**
 * Steps from `grownAt` to the first step at which the smoothed loss of the grown run is at most that of the fixed run plus
 * `epsilon` nats; undefined when that does not happen. The runs are compared at steps at which both were evaluated; each
 * point is the mean of up to `window` points since the growth.
 * @param options Losses of both runs, the step of the growth, and when they count as equal.
 * @example mixingTime({ grown, fixed, grownAt: 500 })
 * @throws ApolloError BAD_ARGUMENT when the runs share no step after the growth.
 */
export function mixingTime(options: {
  /** Held-out losses of the run that grew, in rising order of their steps. */
  readonly grown: readonly LossPoint[];
  /** Held-out losses of the run that had all layers from the start, in rising order of their steps. */
  readonly fixed: readonly LossPoint[];
  /** Steps done before the growth. */
  readonly grownAt: number;
  /** How far above the fixed run's loss counts as equal, in nats. Default: 0.01. */
  readonly epsilon?: number;
  /** Points that a mean is taken over, at most. Default: 3. */
  readonly window?: number;
}): number | undefined {
  takesMixingTime(options);

  const { grownAt, epsilon = 0.01, window = 3 } = options;
  const grown = smoothed(options.grown, window, grownAt);
  const fixed = smoothed(options.fixed, window, grownAt);
  const steps = [...grown.keys()].filter((step) => fixed.has(step)).sort((a, b) => a - b);
  check(
    steps.length > 0,
    `mixingTime needs losses of both runs at the same steps after the growth at step ${grownAt}; there are none. ` +
      'Evaluate both as often (evaluateEvery).',
  );
  const mixed = steps.find((step) => (grown.get(step) as number) <= (fixed.get(step) as number) + epsilon);
  return mixed === undefined ? undefined : mixed - grownAt;
}
