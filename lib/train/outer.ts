/** Settings of training with little communication, and the rounds of steps between two outer steps. */
import { z } from 'zod';
import type { OuterOptions } from '../dist/index.js';
import { ApolloError } from '../errors.js';
import { positiveInteger } from '../methods/options.js';

export const outerDefaults: OuterOptions = { learningRate: 0.7, momentum: 0.9 };

/** What the settings of a run say of it. */
export const outerSettings = {
  /**
   * Each rank updates weights of its own; after every so many steps an outer step brings the ranks together
   * (docs/distributed.md). Default: the ranks share the gradients of each step.
   */
  syncEvery: positiveInteger.optional(),
  /** Of the outer steps, only with syncEvery. */
  outerLearningRate: z.number().positive().optional(),
  outerMomentum: z.number().min(0).lt(1).optional(),
};

type OuterConfig = z.output<z.ZodObject<typeof outerSettings>>;

/** The settings with their defaults. @throws ApolloError BAD_CONFIG for an outer rate or momentum without syncEvery. */
export function resolveOuter<Config extends OuterConfig>(config: Config): Config {
  const { syncEvery, outerLearningRate, outerMomentum } = config;
  if (syncEvery !== undefined) {
    const { learningRate, momentum } = outerDefaults;
    return {
      ...config,
      outerLearningRate: outerLearningRate ?? learningRate,
      outerMomentum: outerMomentum ?? momentum,
    };
  }
  if (outerLearningRate === undefined && outerMomentum === undefined) return config;
  const given = outerLearningRate === undefined ? 'outerMomentum' : 'outerLearningRate';
  throw new ApolloError(
    'BAD_CONFIG',
    `train.${given}: this is a setting of outer steps, and train.syncEvery, the steps between them, is missing. Give it, or leave this out.`,
  );
}

/** Of a resolved config; undefined where the ranks share gradients. */
export function outerOptionsOf({ syncEvery, outerLearningRate, outerMomentum }: OuterConfig): OuterOptions | undefined {
  if (syncEvery === undefined) return undefined;
  return {
    learningRate: outerLearningRate ?? outerDefaults.learningRate,
    momentum: outerMomentum ?? outerDefaults.momentum,
  };
}

/** A step count is given as the steps that are done. */
export interface RoundsOptions {
  /** Steps of a round; 1 where every step is common to all ranks. */
  readonly every: number;
  /** Steps of the whole run, whose last one ends a round. */
  readonly end: number;
  /** The stage of a step, from 0. A round ends with its stage. */
  readonly stageOf: (step: number) => number;
}

/** Whether a round ends when `done` steps are done, as far as the stages are decided. */
export function endsRound(done: number, { every, end, stageOf }: RoundsOptions): boolean {
  return done % every === 0 || done >= end || stageOf(done) !== stageOf(done - 1);
}

/** The round's end before `done`, itself a round's end; -1 before the first step. */
export function roundBefore(done: number, options: RoundsOptions): number {
  let before = done - 1;
  while (before > 0 && !endsRound(before, options)) before--;
  return before;
}

/** The first round's end at or after `step`. */
export function roundOf(step: number, options: RoundsOptions): number {
  let at = step;
  while (!endsRound(at, options)) at++;
  return at;
}

/** Whether one of the steps in (after, to] is due: a multiple of `every`. */
export const dueWithin = (after: number, to: number, every: number): boolean =>
  Math.floor(to / every) > Math.floor(after / every);
