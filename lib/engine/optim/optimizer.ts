/** The interface of an optimizer over a parameter store, and the options and result of a step. */
import type { RunGroup } from '../run-group.js';
import type { StateLayout } from './slots.js';

/** Options of one update. */
export interface StepOptions {
  /** Learning rate of this step. */
  readonly learningRate: number;
  /** Factor on the accumulated gradients, e.g. 1 / micro-batches. */
  readonly gradScale?: number;
  /** Factor >= 0 on the learning rate (and so on the decay) of one tensor; default 1. */
  readonly rateFactor?: (name: string) => number;
  /**
   * Whether a tensor is updated; default: all. An inactive one keeps its value, state and step count bit by bit; its
   * accumulated gradient is zeroed and does not count in the norm.
   */
  readonly active?: (name: string) => boolean;
  /** The runs that made the gradients: when one of them fails or is stopped, the update is refused with ABORT_ERR. */
  readonly group?: RunGroup | undefined;
}

/** What one update did. */
export interface StepResult {
  /** L2 norm of the scaled gradients before clipping. */
  readonly gradNorm: number;
  /** False when norm or loss was not finite: values, state and counts are unchanged, the gradients zeroed. */
  readonly applied: boolean;
  /** Milliseconds that the device computed the update, without what ranks exchange. */
  readonly elapsedMs: number;
  /** For how long the device had nothing to do before it. */
  readonly waitedMs: number;
  /** Bytes of new weights that all ranks together have sent, where they share the update. */
  readonly bytesSent?: number | undefined;
}

/** The compiled update of some parameters. */
export interface Update {
  /**
   * Queues one update at the call, behind the runs that make the gradients. The update before it must be settled: its step
   * counts follow from whether that one was applied.
   * @throws ApolloError BAD_ARGUMENT (bad learningRate or factor), ABORT_ERR (see StepOptions.group), CLOSED.
   */
  run(options: StepOptions): Promise<StepResult>;
}

/** What updates the parameters of a store, from {@link createOptimizer}. */
export interface Optimizer {
  /** Its name in the registry, such as 'adamw'. */
  readonly name: string;
  /** Its state slots per parameter. */
  readonly state: StateLayout;
  /**
   * One update of the named parameters from their accumulated gradients, which it zeroes, after all updates before. `rateFactor` and `active` may
   * change from step to step at no cost: the compiled update takes them as data.
   * @throws ApolloError BAD_ARGUMENT (no or unknown names, bad learningRate or factor), CLOSED.
   */
  step(names: readonly string[], options: StepOptions): Promise<StepResult>;
  /**
   * Compiles the update of the named parameters unless that is done.
   * @throws ApolloError BAD_ARGUMENT (no or unknown names), CLOSED.
   */
  prepare(names: readonly string[]): Promise<Update>;
  /** Frees the compiled updates. */
  dispose(): void;
}
