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
  readonly type: 'start';
  readonly step: number;
  readonly steps: number;
  /** Layers of the finished model. */
  readonly layers: number;
  /** Trained layers and their parameters with those shared by all layers. */
  readonly trainedLayers: number;
  readonly parameters: number;
  /** Checkpoint folder the run resumes from. */
  readonly resumedFrom?: string;
  /** Totals so far, as in step events; 0 where the run starts. */
  readonly flopsModel: number;
  readonly flopsExecuted: number;
  readonly tokens: number;
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
  readonly type: 'step';
  readonly step: number;
  /** Mean training loss of the step's micro-batches, at the step's depth and with dropout. */
  readonly loss: number;
  /** Norm of all gradients before clipping; with `syncEvery` of this rank's, as is `applied`. */
  readonly gradNorm: number;
  readonly learningRate: number;
  readonly depth: number;
  readonly trainedLayers: number;
  /** False when the update was left out because loss or gradients were not finite. */
  readonly applied: boolean;
  /** By the paper's accounting, and by what ran. */
  readonly flopsModel: number;
  readonly flopsExecuted: number;
  readonly tokens: number;
  /** Training time so far. */
  readonly trainMs: number;
  /** Time of this step; neither compilation nor evaluation nor checkpoints. */
  readonly ms: number;
  readonly tokensPerSecond: number;
  /** For how long the device had nothing to do meanwhile. */
  readonly waitedMs: number;
  /** With several ranks: bytes of gradients and weights that all of them together have sent so far. */
  readonly bytesSent?: number;
  /** The same of this step, for each of its tokens. */
  readonly bytesPerToken?: number;
  /** Milliseconds in which this rank exchanged gradients or waited for others, and those of them in which its device waited. */
  readonly exchangeMs?: number;
  readonly exchangeWaitedMs?: number;
  /** No batch of the step had anything to predict: it was left out, and its loss is NaN. */
  readonly withoutTarget?: true;
}

/** The held-out loss was measured. */
export interface EvaluationEvent {
  readonly type: 'evaluation';
  readonly step: number;
  readonly trainedLayers: number;
  /** Held-out loss at full depth through the stage's map, and with the trained layers alone; no dropout. */
  readonly lossFull: number;
  readonly lossStage: number;
  /** Training FLOPs (the paper's accounting) and training time so far; evaluation is charged to neither. */
  readonly flopsModel: number;
  readonly trainMs: number;
  readonly tokens: number;
  /** Time of this evaluation. */
  readonly ms: number;
}

/** Traffic since the stage started or since the run was resumed in it. */
export interface StageTraffic {
  readonly steps: number;
  /** Bytes of gradients and weights that all ranks together have sent: in total, per step and per token. */
  readonly bytes: number;
  readonly bytesPerStep: number;
  readonly bytesPerToken: number;
}

/** The network has grown. */
export interface GrowthEvent {
  readonly type: 'growth';
  readonly step: number;
  readonly from: number;
  readonly to: number;
  /** Parameters after the switch. */
  readonly parameters: number;
  /** The factor on the layers' outputs, if the growth was calibrated. */
  readonly calibrated?: number;
  /** With several ranks: what they exchanged in the stage that ends. */
  readonly exchanged?: StageTraffic;
}

/** A checkpoint was written. */
export interface CheckpointEvent {
  readonly type: 'checkpoint';
  readonly step: number;
  readonly path: string;
  readonly ms: number;
}

/** Something that the user should know; the run continues. */
export interface WarningEvent {
  readonly type: 'warning';
  readonly step: number;
  readonly code:
    | 'NON_FINITE'
    | 'OTHER_DEVICE'
    | 'OTHER_RANKS'
    | 'BEGINS_WITH'
    | 'NO_TARGET'
    | 'DAMAGED_CHECKPOINT'
    | 'CHECKPOINT_FAILED';
  readonly message: string;
}

/** The run has ended; always the last event. */
export interface DoneEvent {
  readonly type: 'done';
  readonly step: number;
  /** Whether a signal ended the run. */
  readonly aborted: boolean;
  /** The host's `stop` ended the run. */
  readonly stopped?: true;
  /** Whether all steps of the schedule were done. */
  readonly complete: boolean;
  readonly flopsModel: number;
  readonly flopsExecuted: number;
  readonly tokens: number;
  readonly trainMs: number;
  /** With several ranks: what they exchanged in the last stage. */
  readonly exchanged?: StageTraffic;
  /** The last checkpoint, where a folder was given. */
  readonly checkpoint?: string;
  /** Steps since the last start or resume that were left out because they had nothing to predict, where there were any. */
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
