/** Settings of training with little communication, and the rounds of steps between two outer steps. */
import { z } from 'zod';
import type { OuterOptions, OuterStep } from '../dist/index.js';
import { ApolloError } from '../errors.js';
import { positiveInteger } from '../methods/options.js';
import type { ExchangeConfig } from './exchange-settings.js';

export const outerDefaults: OuterOptions = { learningRate: 0.7, momentum: 0.9 };

/** The outer settings of a run. */
export const outerSettings = {
  /**
   * Each rank updates its own weights; after every `syncEvery` steps an outer step brings the ranks together
   * (docs/distributed.md). At least 1. Default: the ranks share the gradients of each step.
   */
  syncEvery: positiveInteger.optional(),
  /** Learning rate of the outer steps, above 0; only with `syncEvery`. Default: 0.7. */
  outerLearningRate: z.number().positive().optional(),
  /** Nesterov momentum of the outer steps, in [0, 1); only with `syncEvery`. Default: 0.9. */
  outerMomentum: z.number().min(0).lt(1).optional(),
};

type OuterConfig = z.output<z.ZodObject<typeof outerSettings>>;

/**
 * The settings with their defaults.
 * @throws ApolloError BAD_CONFIG for an outer rate or momentum without syncEvery, and for settings of gradients that ranks
 * share with it.
 */
export function resolveOuter<Config extends OuterConfig & ExchangeConfig>(config: Config): Config {
  const { syncEvery, outerLearningRate, outerMomentum, shardOptimizer, exchangePrecision } = config;
  if (syncEvery !== undefined) {
    const of = shardOptimizer ? 'shardOptimizer' : exchangePrecision === 'bf16' ? 'exchangePrecision' : undefined;
    if (of !== undefined) {
      throw new ApolloError(
        'BAD_CONFIG',
        `train.${of}: with train.syncEvery each rank updates its own weights, in f32 and with its whole state. Remove one of the two.`,
      );
    }
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
    `train.${given}: this is a setting of outer steps, and train.syncEvery, the steps between them, is missing. Set it, or remove this setting.`,
  );
}

/** Outer options of a resolved config; undefined where the ranks share gradients. */
export function outerOptionsOf({ syncEvery, outerLearningRate, outerMomentum }: OuterConfig): OuterOptions | undefined {
  if (syncEvery === undefined) return undefined;
  return {
    learningRate: outerLearningRate ?? outerDefaults.learningRate,
    momentum: outerMomentum ?? outerDefaults.momentum,
  };
}

/** Where the rounds of a run end. A step count is that of the steps that are done. */
export interface RoundsOptions {
  /** Steps of a round; 1 where every step is common to all ranks. */
  readonly every: number;
  /** Steps of the whole run, whose last one ends a round. */
  readonly end: number;
  /** The stage of a step, from 0, as far as it is decided. A round ends with its stage. */
  readonly stageOf: (step: number) => number;
}

/** The rounds of a run, each from one outer step to the next. */
export class Rounds {
  constructor(
    private readonly options: RoundsOptions,
    /** Absent where the ranks share each step. */
    readonly outer?: OuterStep,
  ) {}

  /** Whether the ranks have their own weights when `done` steps are done. */
  isOpen(done: number): boolean {
    return this.outer !== undefined && done > 0 && !this.#ends(done);
  }

  /** Whether what is due at each multiple of `every` is due at `done`, the end of a round, for a step of that round. */
  isDue(every: number, done: number): boolean {
    return Math.floor(done / every) > Math.floor(this.#before(done) / every);
  }

  /** The same of what is due at these steps. */
  includesOne(steps: readonly number[], done: number): boolean {
    const before = this.#before(done);
    return steps.some((step) => step > before && step <= done);
  }

  /** The first end of a round at or after `step`. */
  endOf(step: number): number {
    let at = step;
    while (!this.#ends(at)) at++;
    return at;
  }

  /** The outer step, where `done` ends a round; the bytes that it sends and the time that it takes. */
  async close(done: number): Promise<{ readonly bytesSent: number; readonly ms: number }> {
    if (!this.outer || this.isOpen(done)) return { bytesSent: 0, ms: 0 };
    const start = performance.now();
    const bytesSent = await this.outer.run();
    return { bytesSent, ms: performance.now() - start };
  }

  #ends(done: number): boolean {
    const { every, end, stageOf } = this.options;
    return done % every === 0 || done >= end || stageOf(done) !== stageOf(done - 1);
  }

  /** The end of the round before the one that ends with `done`; -1 before the first step. */
  #before(done: number): number {
    let before = done - 1;
    while (before > 0 && !this.#ends(before)) before--;
    return before;
  }
}
