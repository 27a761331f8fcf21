/** Events of fine-tuning. */
import type { EpochRecord } from './seed-folder.js';

/** What {@link fineTune} reports. */
export type FineTuneEvent =
  | {
      readonly type: 'start';
      readonly seed: number;
      readonly steps: number;
      readonly epochsDone: number;
      /** More than those of the epochs that are done when the run was cut within one. */
      readonly stepsDone: number;
    }
  | {
      readonly type: 'step';
      readonly seed: number;
      /** From 1. */
      readonly epoch: number;
      readonly step: number;
      readonly steps: number;
      readonly loss: number;
      readonly gradNorm: number;
      readonly learningRate: number;
      readonly applied: boolean;
      /** Real tokens of the batch. */
      readonly tokens: number;
      readonly ms: number;
    }
  | ({ readonly type: 'epoch'; readonly seed: number; readonly isBest: boolean; readonly ms: number } & EpochRecord)
  | {
      readonly type: 'checkpoint';
      readonly seed: number;
      readonly step: number;
      readonly path: string;
      readonly ms: number;
    }
  | {
      readonly type: 'warning';
      readonly seed: number;
      readonly step: number;
      readonly code: 'DAMAGED_CHECKPOINT' | 'CHECKPOINT_FAILED';
      readonly message: string;
    }
  | { readonly type: 'seed'; readonly seed: number; readonly record: SeedRecord }
  | { readonly type: 'done'; readonly aborted: boolean };

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
