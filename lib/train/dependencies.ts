/** Objects that a run needs in addition to its settings. */
import type { Group } from '../dist/index.js';
import type { Device } from '../engine/device.js';
import type { ParameterStore } from '../engine/parameters.js';
import * as is from '../is.js';
import type { ChosenMethod } from '../methods/index.js';
import type { TrainingMethod } from '../methods/method.js';
import type { LanguageModel } from '../models/index.js';
import type { TrainingCorpus } from './corpus.js';
import type { EvaluationEvent, StepEvent } from './events.js';
import type { Objective } from './objective.js';

/** What {@link train} works with. */
export interface TrainDependencies {
  /** The device to train on. It stays open afterwards. */
  readonly device: Device;
  /** The finished model; the method decides how many of its layers each stage trains. */
  readonly model: LanguageModel;
  /** A method, by name (`'auto'`), with settings (`{ method: 'apollo', options: { sampler: 'edge' } }`) or made before. */
  readonly method: ChosenMethod;
  /** Gives the batches to train on and the held-out text. */
  readonly corpus: TrainingCorpus;
  /**
   * Folder of a trained model (see openModelFolder) whose weights the first stage starts with: of the same sizes, and as
   * many layers as that stage trains. Moments and the schedule start from zero.
   */
  readonly init?: string | undefined;
  /**
   * Folder of a checkpoint of a run with the same settings but for `anneal`: this run starts there, unless its own
   * checkpoints are further.
   */
  readonly branchFrom?: string | undefined;
  /** Ends the run after or within the current step; a checkpoint is written where a folder is given. */
  readonly signal?: AbortSignal | undefined;
  /** Folder for this run's checkpoints, locked until the run ends; without it none are written. */
  readonly checkpointDir?: string | undefined;
  /** true: resume from the newest checkpoint in `checkpointDir`. 'auto': the same if there is one, else start. */
  readonly resume?: boolean | 'auto' | undefined;
  /**
   * The ranks that train together (openGroup); default: this process alone. Each has the same settings and runs
   * `accumulation` micro-batches of a step, which is that of one rank with as many as all of them. All ranks yield the same
   * events but for times and checkpoints, which the first one writes. A `stop` must go by what is equal on all ranks.
   */
  readonly group?: Group | undefined;
  /** An empty store to train in, which stays open afterwards; by default the run makes and disposes its own. */
  readonly store?: ParameterStore | undefined;
  /** The objective that is minimised and that evaluations report, instead of the model's own loss. */
  readonly objective?: Objective | undefined;
  /**
   * Whether the next step is queued before the event of the last one is taken, so that the device never waits. Default: yes,
   * unless the run works on a `store` of the caller's or ends by `stop`: then the weights are those of the last event. With
   * `stop` never, even if this is true: a step that is queued before `stop` is asked could not be left out.
   */
  readonly lookAhead?: boolean | undefined;
  /** Ends the run, with a checkpoint, after the step or evaluation for which it returns true. */
  readonly stop?: ((event: StepEvent | EvaluationEvent) => boolean) | undefined;
}

/** The same with its method made. */
export interface RunDependencies extends TrainDependencies {
  readonly group: Group;
  readonly method: TrainingMethod;
}

/** Checks of what `train` and `createTrainer` both take. */
export const dependencyChecks = {
  device: is.device,
  model: is.languageModel,
  objective: is.optional(is.objective),
  init: is.optional(is.path),
  branchFrom: is.optional(is.path),
  signal: is.optional(is.signal),
  checkpointDir: is.optional(is.path),
  resume: is.optional(is.oneOf(true, false, 'auto')),
  group: is.optional(is.group),
};
