/**
 * `apollo-lm/train`: training, its events, checkpoints, model folders and exports.
 * @module train
 */
export { type AnnealDependencies, type AnnealEvent, type AnnealOptions, anneal } from './anneal.js';
export { type CheckpointState, readCheckpointState } from './checkpoint/checkpoint.js';
export { type CheckpointFolder, listCheckpoints, newestCheckpoint } from './checkpoint/checkpoint-folder.js';
export { type ExportedModel, type ExportOptions, exportModel } from './checkpoint/export-model.js';
export { type LoadedModel, type LoadOptions, loadModel } from './checkpoint/load-model.js';
export { type ModelFolder, type OpenOptions, openModelFolder, type SourceCosts } from './checkpoint/model-folder.js';
export type { TrainConfig, TrainOptions } from './config.js';
export type { BatchInputs, BatchRequest, BatchSize, TrainingCorpus } from './corpus.js';
export type { TrainDependencies } from './dependencies.js';
export type {
  CheckpointEvent,
  DoneEvent,
  EvaluationEvent,
  GrowthEvent,
  StageTraffic,
  StartEvent,
  StepEvent,
  TrainEvent,
  WarningEvent,
} from './events.js';
export { train } from './loop.js';
export { createTrainer, type ModelTrainer, type TrainerDependencies, type TrainerStepResult } from './model-trainer.js';
export type { Objective, ObjectiveContext } from './objective.js';
export {
  type Decay,
  type DecayShape,
  type LearningRateSchedule,
  learningRate,
  type ScheduleName,
} from './schedule.js';
export { type TrainingCorpusOptions, trainingCorpus } from './text-corpus.js';
