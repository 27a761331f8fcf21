/**
 * Learning-rate schedules: the rate of each update as a pure function of the step. All warm up on a straight line to the
 * peak; what follows is one entry in the table below. Adding a schedule is adding an entry.
 */
import { check } from '../errors.js';
import * as is from '../is.js';

/** How a rate falls from its peak to 0 in a decay phase; `x` in [0, 1] is the part of the phase that has passed. */
const decayShapes = {
  linear: (x: number) => 1 - x,
  /** 1 - sqrt(x), as in Hägele et al. 2024 ("Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations"). */
  '1-sqrt': (x: number) => 1 - Math.sqrt(x),
  cosine: (x: number) => 0.5 * (1 + Math.cos(Math.PI * x)),
} as const satisfies Record<string, (x: number) => number>;
/** How a rate falls from its peak to 0. */
export type DecayShape = keyof typeof decayShapes;
export const decayShapeNames = Object.keys(decayShapes) as [DecayShape, ...DecayShape[]];

/** The decay phase that ends a run: `steps` updates down to a rate of 0. */
export interface Decay {
  /** Length of the phase in optimizer steps, at least 1. */
  readonly steps: number;
  /** How the rate falls from the peak to 0: 'linear', '1-sqrt' or 'cosine'. */
  readonly shape: DecayShape;
}

interface Phase {
  readonly peak: number;
  /** Updates since the end of the warm-up, and from there to the end of the run. */
  readonly done: number;
  readonly length: number;
  readonly decay: Decay;
}

/** The rate after the warm-up and before the end. */
const schedules = {
  /** Half a cosine from the peak to 0. */
  cosine: ({ peak, done, length }) => peak * 0.5 * (1 + Math.cos((Math.PI * done) / length)),
  /** A straight line from the peak to 0. */
  linear: ({ peak, done, length }) => (peak * (length - done)) / length,
  /** The peak throughout; a decay can branch off at any step. */
  constant: ({ peak }) => peak,
  /** Warm-up, stable, decay: the peak, then a decay phase at the end (Hu et al. 2024, MiniCPM, section 4). */
  wsd: ({ peak, done, length, decay }) => peak * decayed(done - (length - decay.steps), decay),
} as const satisfies Record<string, (phase: Phase) => number>;
/** The learning-rate schedules by name. */
export type ScheduleName = keyof typeof schedules;
export const scheduleNames = Object.keys(schedules) as [ScheduleName, ...ScheduleName[]];

/** Factor after `into` updates of a decay phase; 1 before it. */
function decayed(into: number, { steps, shape }: Decay): number {
  return into <= 0 ? 1 : decayShapes[shape](Math.min(1, into / steps));
}

/** A learning-rate schedule, see {@link learningRate}. */
export interface LearningRateSchedule {
  /** Default: cosine. */
  readonly schedule?: ScheduleName | undefined;
  /** Optimizer steps of the whole run. */
  readonly totalSteps: number;
  /**
   * Steps in which the rate rises from 0 on a straight line; 0: the first update has the peak.
   */
  readonly warmupSteps: number;
  /** The highest rate, reached at step `warmupSteps`. */
  readonly peak: number;
  /** The decay phase of `wsd`; default: the last fifth of the run, linear. */
  readonly decay?: Decay | undefined;
}

/** Warm-up steps of a fraction of the run, rounded up; 0.025 is the paper's. */
export function warmupOf(totalSteps: number, fraction: number): number {
  return Math.ceil(totalSteps * fraction - 1e-9);
}

/** Steps of a decay phase that takes a share of a run, to the nearest step and at least one. */
export function decaySteps(totalSteps: number, share: number): number {
  return Math.max(1, Math.round(totalSteps * share));
}

const takesLearningRate = is.takes('learningRate', {
  step: is.number,
  options: is.options({
    schedule: is.optional(is.oneOf(...scheduleNames)),
    totalSteps: is.number,
    warmupSteps: is.number,
    peak: is.number,
    decay: is.optional(is.options({ steps: is.number, shape: is.oneOf(...decayShapeNames) })),
  }),
});

/**
 * The rate of the update that follows `step` updates already done. With a warm-up the first update has rate 0; from
 * `totalSteps` on the rate is 0.
 * @example learningRate(900, { schedule: 'wsd', totalSteps: 1000, warmupSteps: 20, peak: 1e-3 }) // 5e-4
 * @throws ApolloError BAD_ARGUMENT for a negative step.
 */
export function learningRate(step: number, options: LearningRateSchedule): number {
  takesLearningRate(step, options);
  const { schedule = 'cosine', totalSteps, warmupSteps, peak } = options;
  check(step >= 0, `learningRate requires a step >= 0; got ${step}.`);
  if (step >= totalSteps) return 0;
  if (step < warmupSteps) return (peak * step) / warmupSteps;
  const decay = options.decay ?? { steps: decaySteps(totalSteps, 0.2), shape: 'linear' };
  return schedules[schedule]({ peak, done: step - warmupSteps, length: totalSteps - warmupSteps, decay });
}

/**
 * The rate of a run whose schedule restarts at step `since`, as after growth in G_stack and MSG: a warm-up of
 * `warmupSteps` updates, then the schedule over the steps that are left. A decay phase keeps its place at the end.
 * @throws ApolloError BAD_ARGUMENT for a step before `since`.
 */
export function rewoundRate(step: number, since: number, options: LearningRateSchedule): number {
  check(step >= since, `rewoundRate requires a step >= ${since}; got ${step}.`);
  const { totalSteps, decay } = options;
  const kept = decay ?? { steps: decaySteps(totalSteps, 0.2), shape: 'linear' as const };
  return learningRate(step - since, { ...options, totalSteps: totalSteps - since, decay: kept });
}

/** A decay that branches off a run at a constant rate: it ends at step `end`. */
export interface Anneal extends Decay {
  readonly end: number;
}

/**
 * The rate of a run that decays to 0 at `anneal.end`, before the end of its schedule. It equals that of a `wsd` run of
 * `anneal.end` steps with the same warm-up where the schedule is constant up to the decay.
 */
export function annealedRate(step: number, anneal: Anneal, scheduled: number): number {
  if (step >= anneal.end) return 0;
  return scheduled * decayed(step - (anneal.end - anneal.steps), anneal);
}
