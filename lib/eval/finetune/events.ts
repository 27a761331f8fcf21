/** Events of fine-tuning. */
import type { EpochRecord } from './seed-folder.js';

/** What {@link fineTune} reports. */
export type FineTuneEvent =
  | {
      /** The run of a seed starts or is resumed. */
      readonly type: 'start';
      /** The seed of the run. */
      readonly seed: number;
      /** Optimizer steps of the whole run: those of one epoch times `epochs`. */
      readonly steps: number;
      /** Epochs that an earlier part of the run has finished; 0 where it starts. */
      readonly epochsDone: number;
      /** Steps done so far. More than those of the epochs that are done when the run was cut within one. */
      readonly stepsDone: number;
    }
  | {
      /** A step was done. */
      readonly type: 'step';
      /** The seed of the run. */
      readonly seed: number;
      /** The epoch that the step belongs to, from 1. */
      readonly epoch: number;
      /** Steps done with this one, so 1 for the first; skipped steps count too. */
      readonly step: number;
      /** Optimizer steps of the whole run. */
      readonly steps: number;
      /** Mean training loss of the step's labelled sequences, with dropout; NaN where none has a label. */
      readonly loss: number;
      /** L2 norm of all gradients before clipping. */
      readonly gradNorm: number;
      /** Learning rate of the step. */
      readonly learningRate: number;
      /** False where loss or gradients were not finite, or no sequence has a label: the weights did not change. */
      readonly applied: boolean;
      /** Tokens of the step's sequences, without padding. */
      readonly tokens: number;
      /** Time of the step in milliseconds. */
      readonly ms: number;
    }
  | ({
      /** An epoch was trained and evaluated. */
      readonly type: 'epoch';
      /** The seed of the run. */
      readonly seed: number;
      /** Whether its main metric on the first split is the best so far; then its model is the one that is kept. */
      readonly isBest: boolean;
      /** Time of the evaluation in milliseconds, with writing the model where it is the best. */
      readonly ms: number;
    } & EpochRecord)
  | {
      /** A checkpoint within an epoch was written. */
      readonly type: 'checkpoint';
      /** The seed of the run. */
      readonly seed: number;
      /** Steps done in the checkpoint. */
      readonly step: number;
      /** Its folder. */
      readonly path: string;
      /** Time from its start to its end in milliseconds; training continues in parallel. */
      readonly ms: number;
    }
  | {
      /** A problem that does not end the run. */
      readonly type: 'warning';
      /** The seed of the run. */
      readonly seed: number;
      /** Steps done. */
      readonly step: number;
      /** A checkpoint that was damaged and not used, or one that could not be written. */
      readonly code: 'DAMAGED_CHECKPOINT' | 'CHECKPOINT_FAILED';
      /** The warning for the user, in sentences. */
      readonly message: string;
    }
  | {
      /** The run of a seed is complete; of one that was complete before it is the only event. */
      readonly type: 'seed';
      /** The seed of the run. */
      readonly seed: number;
      /** Its epochs, the best and the last one. */
      readonly record: SeedRecord;
    }
  | {
      /** The last event. */
      readonly type: 'done';
      /** Whether `signal` ended the run before all seeds were complete. */
      readonly aborted: boolean;
    };

/** Results of a finished seed. */
export interface SeedRecord {
  /** The seed: of the initial head, the order of examples and dropout. */
  readonly seed: number;
  /** All epochs in their order. */
  readonly epochs: readonly EpochRecord[];
  /** The epoch with the best main metric on the first split; the earlier of equals. */
  readonly best: EpochRecord;
  /** The last epoch; the same as `best` where that was the best. */
  readonly last: EpochRecord;
  /** Folder of the best epoch's model, where one was given. */
  readonly model?: string;
}
