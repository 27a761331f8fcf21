/** Tracks training losses for an adaptive method. */
import type { TrainingMethod } from './method.js';

/** Training losses so far, as a checkpoint keeps them. */
export interface SeenLosses {
  /** Mean of each whole window; null where no loss was finite. */
  readonly means: readonly (number | null)[];
  /** Steps of the current window so far; its mean is not formed yet. */
  readonly steps: number;
  /** Sum of the finite losses of the current window. */
  readonly sum: number;
  /** Number of the finite losses of the current window. */
  readonly count: number;
}

/** The method that `method` becomes after the losses so far. A method that does not adapt stays what it is. */
export class AdaptiveMethod {
  readonly #initial: TrainingMethod;
  #current: TrainingMethod;
  #means: number[] = [];
  #steps = 0;
  #sum = 0;
  #count = 0;

  constructor(method: TrainingMethod, seen?: SeenLosses) {
    this.#initial = method;
    this.#current = method;
    if (!seen || !method.adaptive) return;
    this.#means = seen.means.map((mean) => mean ?? Number.NaN);
    this.#steps = seen.steps;
    this.#sum = seen.sum;
    this.#count = seen.count;
    this.#current = method.adaptive.after(this.#means);
  }

  /** Decided for all steps up to the next; later steps are a guess. */
  get current(): TrainingMethod {
    return this.#current;
  }

  /** Absent for a method that does not adapt. */
  get seen(): SeenLosses | undefined {
    if (!this.#initial.adaptive) return undefined;
    const means = this.#means.map((mean) => (Number.isNaN(mean) ? null : mean));
    return { means, steps: this.#steps, sum: this.#sum, count: this.#count };
  }

  /** Whether the next loss may change what the steps after it are. */
  get decidesNext(): boolean {
    const { adaptive } = this.#initial;
    return adaptive !== undefined && this.#steps + 1 >= adaptive.window;
  }

  /** The training loss of the next step. */
  add(loss: number): void {
    const { adaptive } = this.#initial;
    if (!adaptive) return;
    this.#steps++;
    if (Number.isFinite(loss)) {
      this.#sum += loss;
      this.#count++;
    }
    if (this.#steps < adaptive.window) return;
    this.#means.push(this.#count > 0 ? this.#sum / this.#count : Number.NaN);
    this.#steps = 0;
    this.#sum = 0;
    this.#count = 0;
    this.#current = adaptive.after(this.#means);
  }
}
