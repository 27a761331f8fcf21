/** When a checkpoint is due by time, and what a run does when one cannot be written. */
import { ApolloError } from '../../errors.js';

/** Counts training time, which every checkpoint records, so that a run that is resumed or takes turns with others keeps its rhythm. */
export class CheckpointClock {
  #savedMs: number;

  /** `minutes` of training between two checkpoints; 0: none by time. `trainMs`: training time so far. */
  constructor(
    readonly minutes: number,
    trainMs: number,
  ) {
    this.#savedMs = trainMs;
  }

  due(trainMs: number): boolean {
    return this.minutes > 0 && trainMs - this.#savedMs >= this.minutes * 60_000;
  }

  /** A checkpoint was written, or tried: the next one is due `minutes` later. */
  wrote(trainMs: number): void {
    this.#savedMs = trainMs;
  }
}

/** Describes the checkpoint to resume from in a sentence. */
function leftToResume(checkpoint: string | undefined): string {
  return checkpoint === undefined
    ? 'There is no earlier checkpoint to resume from.'
    : `The last checkpoint is ${checkpoint}.`;
}

/**
 * The warning that a checkpoint in the middle of a run could not be written; the run continues and tries again when the next
 * one is due. Errors that are not of the file system are thrown.
 */
export function checkpointWarning(error: unknown, lastSaved: string | undefined): string {
  if (!(error instanceof ApolloError && error.code === 'FILE_SYSTEM')) throw error;
  return `${error.message} ${leftToResume(lastSaved)} The run continues and tries again when the next checkpoint is due.`;
}

/** The error of the last checkpoint of a run that could not be written, with what is left to resume from. */
export function lastCheckpointError(error: unknown, lastSaved: string | undefined): unknown {
  if (!(error instanceof ApolloError && error.code === 'FILE_SYSTEM')) return error;
  return new ApolloError('FILE_SYSTEM', `${error.message} ${leftToResume(lastSaved)}`, { cause: error });
}
