/** Training: the loop, its events, checkpoints and evaluation. */
export {
  type AnnealDependencies,
  type AnnealEvent,
  type AnnealOptions,
  anneal,
  annealFolder,
  branchSteps,
  endSteps,
} from './anneal.js';
export { batchShape } from './batch-shape.js';
export {
  type CheckpointState,
  loadCheckpoint,
  modelConfigOf,
  readCheckpointState,
  type StateToWrite,
  saveCheckpoint,
} from './checkpoint/checkpoint.js';
export { CheckpointClock, checkpointWarning, lastCheckpointError } from './checkpoint/checkpoint-clock.js';
export { type CheckpointFolder, latestCheckpoint, listCheckpoints } from './checkpoint/checkpoint-folder.js';
export { type CheckpointJob, CheckpointWriter } from './checkpoint/checkpoint-writer.js';
export { type ExportedModel, type ExportOptions, exportModel } from './checkpoint/export-model.js';
export { type LoadedModel, type LoadOptions, loadModel } from './checkpoint/load-model.js';
export { type ModelFolder, type OpenOptions, openModelFolder, type SourceCosts } from './checkpoint/model-folder.js';
export type { StoreView } from './checkpoint/staged-store.js';
export { newestWholeCheckpoint, type WholeCheckpoint } from './checkpoint/whole-checkpoint.js';
export { lastStep, resolveConfig, type TrainConfig, type TrainOptions } from './config.js';
export type { BatchInputs, BatchRequest, BatchSize, TrainingCorpus } from './corpus.js';
export { flopsOfStep, type StepFlops, stageConfig, stepFlops } from './cost.js';
export type { TrainDependencies } from './dependencies.js';
export { evaluateMaps } from './evaluate.js';
export * from './events.js';
export { type GrowthSite, grow } from './growth.js';
export { checkBeginning } from './initial.js';
export { train } from './loop.js';
export { parameterBytes } from './memory.js';
export { createTrainer, ModelTrainer, type TrainerDependencies, type TrainerStepResult } from './model-trainer.js';
export { NonFiniteSteps } from './non-finite.js';
export type { Objective, ObjectiveContext } from './objective.js';
export { checkSequence, checkSettings } from './preflight.js';
export { RunPrograms } from './programs.js';
export {
  type Anneal,
  annealedRate,
  type Decay,
  type DecayShape,
  decayShapeNames,
  decaySteps,
  type LearningRateSchedule,
  learningRate,
  rewoundRate,
  type ScheduleName,
  scheduleNames,
  warmupOf,
} from './schedule.js';
export { type StageNetwork, stageNetwork } from './stage.js';
export {
  type MicroBatch,
  type QueuedStep,
  type StepOutcome,
  StepStream,
  Trainer,
  type TrainerStep,
} from './trainer.js';
