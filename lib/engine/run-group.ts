/**
 * Runs that succeed or fail together, such as the micro-batches of a step and the update that is queued behind them: when one
 * fails or a signal stops them, those that have not started are refused with ABORT_ERR and change nothing.
 */
import * as is from '../is.js';

const takesNewRunGroup = is.takes('new RunGroup', { signal: is.optional(is.signal) });

/**
 * Runs that are stopped together: by a signal, by `stop`, or when one of them fails.
 * @example
 * const group = new RunGroup(signal);
 * await Promise.all([program.run({ x: [1] }, { group }), program.run({ x: [2] }, { group })]);
 * group.dispose();
 */
export class RunGroup {
  /**
   * Shared with the device's thread. 0: running, 1: stopped from outside, 2: one of the runs has failed.
   * @internal
   */
  readonly flag = new Int32Array(new SharedArrayBuffer(4));
  readonly #signal: AbortSignal | undefined;
  readonly #stop = () => this.stop();

  /** `signal` stops the runs, also one that is in progress, between two of its instructions. */
  constructor(signal?: AbortSignal) {
    takesNewRunGroup(signal);

    this.#signal = signal;
    if (signal?.aborted) this.stop();
    else signal?.addEventListener('abort', this.#stop);
  }

  /** Whether the signal or `stop` ended the group, or one of its runs has failed. */
  get stopped(): boolean {
    return Atomics.load(this.flag, 0) !== 0;
  }

  /** Why it was stopped, where a signal did it. */
  get reason(): unknown {
    return this.#signal?.aborted ? this.#signal.reason : undefined;
  }

  /** Stops all runs of the group; they reject with ABORT_ERR. */
  stop(): void {
    Atomics.compareExchange(this.flag, 0, 0, 1);
  }

  /**
   * Stops the group because a part of its work has failed.
   * @internal
   */
  fail(): void {
    Atomics.compareExchange(this.flag, 0, 0, 2);
  }

  /** Lets go of the signal, once all runs are settled. */
  dispose(): void {
    this.#signal?.removeEventListener('abort', this.#stop);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
