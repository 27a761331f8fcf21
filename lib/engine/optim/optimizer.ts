/** The interface of an optimizer over a parameter store, and the options and result of a step. */
import type { StateLayout } from './slots.js';

export interface StepOptions {
  /** Learning rate of this step. */
  readonly lr: number;
  /** Factor on the accumulated gradients, e.g. 1 / micro-batches. */
  readonly gradScale?: number;
  /** Factor >= 0 on the learning rate (and so on the decay) of one tensor; default 1. */
  readonly rateFactor?: (name: string) => number;
  /**
   * Whether a tensor is updated; default: all. An inactive one keeps its value, state and step count bit by bit; its
   * accumulated gradient is zeroed and does not count in the norm.
   */
  readonly active?: (name: string) => boolean;
}

export interface StepResult {
  /** L2 norm of the scaled gradients before clipping. */
  readonly gradNorm: number;
  /** False when the norm was not finite: values, state and counts are unchanged, the gradients zeroed. */
  readonly applied: boolean;
  readonly elapsedMs: number;
}

export interface Optimizer {
  readonly name: string;
  /** What it keeps of each parameter. */
  readonly state: StateLayout;
  /**
   * One update of the named parameters from their accumulated gradients, which it zeroes. `rateFactor` and `active` may
   * change from step to step at no cost: the compiled update takes them as data.
   * @throws ApolloError BAD_ARGUMENT (no or unknown names, bad lr or factor), CLOSED.
   */
  step(names: readonly string[], options: StepOptions): Promise<StepResult>;
  /** Frees the compiled updates. */
  dispose(): void;
}
