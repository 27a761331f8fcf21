/** AdamW (Loshchilov and Hutter 2019, decoupled weight decay) over a parameter store. */
import { check } from '../../errors.js';
import * as is from '../../is.js';
import type { ParameterStore } from '../parameters.js';
import { ProgramOptimizer, type UpdateRule } from './program-optimizer.js';
import type { ParameterState, StateLayout } from './slots.js';

/** Options of {@link AdamW}. */
export interface AdamWOptions {
  /** Decay of the mean of gradients, in [0, 1). Default 0.9. */
  readonly beta1?: number;
  /** Decay of the mean of squared gradients, in [0, 1). Default 0.999. */
  readonly beta2?: number;
  /** Added to the root of the second moment, which the update is divided by; above 0. Default 1e-8. */
  readonly epsilon?: number;
  /**
   * Each update also subtracts learning rate x this x the weight, from parameters declared with `decay`; 0 or more.
   * Default 0.01.
   */
  readonly weightDecay?: number;
  /** Gradients are scaled down to this L2 norm (over all tensors of a step); 0 = no clipping. Default 1. */
  readonly maxNorm?: number;
}

/** Means of the gradient and of its square, and the step count that corrects their bias. */
const moments: ParameterState = {
  slots: [
    { name: 'm', power: 1 },
    { name: 'v', power: 2 },
  ],
  counted: true,
};

export const adamwState: StateLayout = { optimizer: 'adamw', of: () => moments };

/** The options with their defaults. @throws ApolloError BAD_ARGUMENT. */
export function adamwOptions({
  beta1 = 0.9,
  beta2 = 0.999,
  epsilon = 1e-8,
  weightDecay = 0.01,
  maxNorm = 1,
}: AdamWOptions): Required<AdamWOptions> {
  check(
    beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1,
    `beta1 and beta2 must lie in [0, 1); got ${beta1} and ${beta2}`,
  );
  check(epsilon > 0, `epsilon must be positive; got ${epsilon}`);
  check(weightDecay >= 0 && maxNorm >= 0, `weightDecay and maxNorm must be >= 0; got ${weightDecay} and ${maxNorm}`);
  return { beta1, beta2, epsilon, weightDecay, maxNorm };
}

export const adamwFields = {
  beta1: is.optional(is.number),
  beta2: is.optional(is.number),
  epsilon: is.optional(is.number),
  weightDecay: is.optional(is.number),
  maxNorm: is.optional(is.number),
};

/** Takes every parameter. */
export function adamwRule({ beta1, beta2, epsilon, weightDecay, maxNorm }: Required<AdamWOptions>): UpdateRule {
  return {
    op: 'adamw',
    takes: () => true,
    rate: 1,
    hyper: (learningRate, gradScale) => [learningRate, beta1, beta2, epsilon, weightDecay, maxNorm, gradScale],
    attributes: () => ({}),
  };
}

const takesNewAdamW = is.takes('new AdamW', { store: is.store, options: is.options(adamwFields) });

/**
 * AdamW (Loshchilov and Hutter 2019): one compiled program for each list of parameters, which also clips their
 * gradients.
 * ```ts
 * const adamw = new AdamW(store, { weightDecay: 0.01, maxNorm: 1 });
 * const { gradNorm } = await adamw.step(names, { learningRate: 1e-4 });
 * ```
 */
export class AdamW extends ProgramOptimizer {
  /** The options with their defaults. */
  readonly options: Required<AdamWOptions>;

  constructor(store: ParameterStore, options: AdamWOptions = {}) {
    takesNewAdamW(store, options);
    const complete = adamwOptions(options);
    super(store, adamwState, [adamwRule(complete)]);
    this.options = complete;
  }
}
