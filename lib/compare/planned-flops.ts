/** How far a set of runs is, measured in model FLOPs: what a step at a small depth costs is known beforehand. */
import type { TrainingMethod } from '../methods/index.js';
import type { LanguageModel } from '../models/index.js';
import { flopsOfStep } from '../train/index.js';

/** Steps between two sums that are kept. */
const stride = 1024;

/**
 * Model FLOPs of a run by its method's plan, for steps of `tokens` tokens in sequences of `seq`. The plans of a long run take
 * noticeable time, so they are asked for when a sum is needed, and sums on the way are kept.
 */
export class PlannedFlops {
  readonly #method: TrainingMethod;
  readonly #model: Pick<LanguageModel, 'config'>;
  readonly #size: { readonly seq: number; readonly tokens: number };
  /** FLOPs before each step that is a multiple of `stride`, as far as they were needed. */
  readonly #sums = [0];

  constructor(
    method: TrainingMethod,
    model: Pick<LanguageModel, 'config'>,
    size: { readonly seq: number; readonly tokens: number },
  ) {
    this.#method = method;
    this.#model = model;
    this.#size = size;
  }

  /** FLOPs of the first `steps` steps. */
  upTo(steps: number): number {
    const kept = Math.min(Math.floor(steps / stride), this.#sums.length - 1);
    let sum = this.#sums[kept]!;
    for (let step = kept * stride; step < steps; step++) {
      if (step % stride === 0) this.#sums[step / stride] = sum;
      sum += flopsOfStep(this.#method, this.#model.config, step, this.#size).model;
    }
    return sum;
  }
}
