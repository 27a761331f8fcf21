/**
 * Events of a run. `step` counts the updates done, so that events of one step share one axis: the step event of the
 * first update and an evaluation after it both say 1. When a step's event is reported, the next step is already running
 * (Trainer); an evaluation, a growth and `done` come between steps. FLOPs, tokens and times are totals since the start of the run, through
 * all resumes.
 */

import type { SeenLosses } from '../methods/adaptive.js';
import type { SourceCosts } from './checkpoint/model-folder.js';

/** The run starts or is resumed; always the first event. */
export interface StartEvent {
  /** The first event of a run. */
  readonly type: 'start';
  /** Updates done: 0, or those of the checkpoint that the run resumes from or branches off. */
  readonly step: number;
  /** Length of the schedule, the setting `steps`; a budget or `anneal` may end the run earlier. */
  readonly steps: number;
  /** Layers of the finished model. */
  readonly layers: number;
  /** Layers that the current stage trains. */
  readonly trainedLayers: number;
  /** Number of elements of all tensors that the stage trains, those that all layers share included. */
  readonly parameters: number;
  /** Checkpoint folder the run resumes from. */
  readonly resumedFrom?: string;
  /** Training FLOPs so far by the paper's accounting; 0 where the run starts. */
  readonly flopsModel: number;
  /** FLOPs of what has run so far; 0 where the run starts. */
  readonly flopsExecuted: number;
  /** Tokens trained on so far, by all ranks; 0 where the run starts. */
  readonly tokens: number;
  /** Training time so far in milliseconds; 0 where the run starts. */
  readonly trainMs: number;
  /** With several ranks, as in step events. */
  readonly bytesSent?: number | undefined;
  /** Training cost of the run's initial model; not part of the run's own totals. */
  readonly source?: SourceCosts;
  /** The run started from a trained model without a recorded cost. */
  readonly sourceUnknown?: true;
  /** Training losses so far, for a method whose stages depend on them. */
  readonly seen?: SeenLosses;
}

/** A step was done. */
export interface StepEvent {
  /** A step was done. */
  readonly type: 'step';
  /** Updates done with this one, so 1 for the first; skipped steps count too. */
  readonly step: number;
  /** Mean training loss of the step's micro-batches, at the step's depth and with dropout. */
  readonly loss: number;
  /** Norm of all gradients before clipping; with `syncEvery` of this rank's, as is `applied`. */
  readonly gradNorm: number;
  /**
   * Learning rate of the step: the scheduled one, or what the method's plan makes of it; factors of single parameters
   * come on top.
   */
  readonly learningRate: number;
  /** Layers that the step's network ran. */
  readonly depth: number;
  /** Layers that the stage trains, each of which may be at several places of the network. */
  readonly trainedLayers: number;
  /** False when the update was left out because loss or gradients were not finite. */
  readonly applied: boolean;
  /** Training FLOPs so far by the paper's accounting. */
  readonly flopsModel: number;
  /** FLOPs of what has run so far. */
  readonly flopsExecuted: number;
  /** Tokens so far of all micro-batches and ranks: batch x seq x accumulation x ranks per step. */
  readonly tokens: number;
  /** Training time so far. */
  readonly trainMs: number;
  /** Time of this step; neither compilation nor evaluation nor checkpoints. */
  readonly ms: number;
  /** The tokens of this step, of all ranks, divided by its `ms` in seconds. */
  readonly tokensPerSecond: number;
  /** For how long the device had nothing to do meanwhile. */
  readonly waitedMs: number;
  /** With several ranks: bytes of gradients and weights that all of them together have sent so far. */
  readonly bytesSent?: number;
  /** The same of this step, for each of its tokens. */
  readonly bytesPerToken?: number;
  /** Milliseconds in which this rank exchanged gradients or weights, or waited for others. */
  readonly exchangeMs?: number;
  /** Those of them in which its device waited. */
  readonly exchangeWaitedMs?: number;
  /** No batch of the step had anything to predict: it was left out, and its loss is NaN. */
  readonly withoutTarget?: true;
}

/** The held-out loss was measured. */
export interface EvaluationEvent {
  /** The held-out loss was measured. */
  readonly type: 'evaluation';
  /** Updates done before it. */
  readonly step: number;
  /** Layers that the stage trains. */
  readonly trainedLayers: number;
  /** Held-out loss at full depth, through the stage's map, without dropout: in nats, or that of the run's objective. */
  readonly lossFull: number;
  /** The same with the trained layers alone. Both are NaN for a corpus whose `heldOutCount` is 0. */
  readonly lossStage: number;
  /** Training FLOPs so far by the paper's accounting; evaluations are not charged. */
  readonly flopsModel: number;
  /** Training time so far in milliseconds; evaluations are not charged. */
  readonly trainMs: number;
  /** Tokens trained on so far, by all ranks. */
  readonly tokens: number;
  /** Time of this evaluation. */
  readonly ms: number;
}

/** Traffic since the stage started or since the run was resumed in it. */
export interface StageTraffic {
  /** Steps since then. */
  readonly steps: number;
  /** Bytes of gradients and weights that all ranks together have sent. */
  readonly bytes: number;
  /** `bytes` divided by `steps`. */
  readonly bytesPerStep: number;
  /** `bytes` divided by the tokens of these steps. */
  readonly bytesPerToken: number;
}

/** The network has grown. */
export interface GrowthEvent {
  /** The network has grown. */
  readonly type: 'growth';
  /** Updates done before the growth. */
  readonly step: number;
  /** Number of trained layers before. */
  readonly from: number;
  /** Number of trained layers after; the same where widths grow. */
  readonly to: number;
  /** Elements of all tensors that the new stage trains. */
  readonly parameters: number;
  /** The factor on the layers' outputs, if the growth was calibrated. */
  readonly calibrated?: number;
  /** With several ranks: what they exchanged in the stage that ends. */
  readonly exchanged?: StageTraffic;
}

/** A checkpoint was written. */
export interface CheckpointEvent {
  /** A checkpoint was written. */
  readonly type: 'checkpoint';
  /**
   * Updates done when it was taken, which may be fewer than those of the step events before it: it is written beside
   * training.
   */
  readonly step: number;
  /** Path of its folder. */
  readonly path: string;
  /** Milliseconds from its start until it was on the disk; training continues meanwhile. */
  readonly ms: number;
}

/** Something that the user should know; the run continues. */
export interface WarningEvent {
  /** The run has something to say, and continues. */
  readonly type: 'warning';
  /** Updates done; for CHECKPOINT_FAILED those of the checkpoint. */
  readonly step: number;
  /**
   * What it is about. NON_FINITE: loss or gradients were not finite, and the update was left out. OTHER_DEVICE,
   * OTHER_RANKS: the checkpoint is of another device or number of ranks, so bits differ. BEGINS_WITH: the initial
   * model. NO_TARGET: a step had nothing to predict. DAMAGED_CHECKPOINT: one was set aside. CHECKPOINT_FAILED: one
   * could not be written.
   */
  readonly code:
    | 'NON_FINITE'
    | 'OTHER_DEVICE'
    | 'OTHER_RANKS'
    | 'BEGINS_WITH'
    | 'NO_TARGET'
    | 'DAMAGED_CHECKPOINT'
    | 'CHECKPOINT_FAILED';
  /** Sentences that say what happened and what to do. */
  readonly message: string;
}

/** The run has ended; always the last event. */
export interface DoneEvent {
  /** The last event of a run. */
  readonly type: 'done';
  /** Updates done. */
  readonly step: number;
  /** Whether a signal ended the run. */
  readonly aborted: boolean;
  /** The host's `stop` ended the run. */
  readonly stopped?: true;
  /** Whether all steps of the schedule were done. */
  readonly complete: boolean;
  /** Training FLOPs of the run by the paper's accounting, through all resumes. */
  readonly flopsModel: number;
  /** FLOPs of what has run, through all resumes. */
  readonly flopsExecuted: number;
  /** Tokens trained on, by all ranks and through all resumes. */
  readonly tokens: number;
  /** Training time in milliseconds, through all resumes. */
  readonly trainMs: number;
  /** With several ranks: what they exchanged in the last stage. */
  readonly exchanged?: StageTraffic;
  /** The last checkpoint, where a folder was given. */
  readonly checkpoint?: string;
  /** Steps skipped since the last start or resume because they had nothing to predict; absent when there are none. */
  readonly stepsWithoutTarget?: number;
}

/** What {@link train} reports, by `type`. */
export type TrainEvent =
  | StartEvent
  | StepEvent
  | EvaluationEvent
  | GrowthEvent
  | CheckpointEvent
  | WarningEvent
  | DoneEvent;
