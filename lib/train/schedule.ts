/** The learning rate as a function of the step: linear warm-up, then down to zero by half a cosine or a straight line. */
import { check } from '../errors.js';

export interface LearningRateSchedule {
  /** Optimizer steps of the whole run. */
  readonly totalSteps: number;
  readonly warmupSteps: number;
  /** The highest rate, reached at step `warmupSteps`. */
  readonly peak: number;
}

/** Warm-up steps of a fraction of the run, rounded up; 0.025 is the paper's. */
export function warmupOf(totalSteps: number, fraction: number): number {
  return Math.ceil(totalSteps * fraction - 1e-9);
}

/**
 * The rate of the update that follows `step` updates already done. With a warm-up the first update has rate 0.
 * @throws ApolloError BAD_ARGUMENT for a negative step.
 */
export function learningRate(step: number, { totalSteps, warmupSteps, peak }: LearningRateSchedule): number {
  check(step >= 0, `learningRate needs a step >= 0; got ${step}.`);
  if (step < warmupSteps) return (peak * step) / warmupSteps;
  if (step >= totalSteps) return 0;
  return peak * 0.5 * (1 + Math.cos((Math.PI * (step - warmupSteps)) / (totalSteps - warmupSteps)));
}

/**
 * The same with a straight line down to 0 at the end, as BERT is fine-tuned.
 * @throws ApolloError BAD_ARGUMENT for a negative step.
 */
export function linearRate(step: number, { totalSteps, warmupSteps, peak }: LearningRateSchedule): number {
  check(step >= 0, `linearRate needs a step >= 0; got ${step}.`);
  if (step < warmupSteps) return (peak * step) / warmupSteps;
  if (step >= totalSteps) return 0;
  return (peak * (totalSteps - step)) / (totalSteps - warmupSteps);
}
