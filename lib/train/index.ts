/** Training as other rooms see it: what users have (public.ts), and what only this package needs. */
export { annealFolder, branchSteps, endSteps } from './anneal.js';
export { batchShape } from './batch-shape.js';
export { loadCheckpoint, modelConfigOf, type StateToWrite, saveCheckpoint } from './checkpoint/checkpoint.js';
export { CheckpointClock } from './checkpoint/checkpoint-clock.js';
export { latestCheckpoint } from './checkpoint/checkpoint-folder.js';
export { type CheckpointJob, CheckpointWriter } from './checkpoint/checkpoint-writer.js';
export type { StoreView } from './checkpoint/staged-store.js';
export { newestWholeCheckpoint } from './checkpoint/whole-checkpoint.js';
export { differences, identityOf, type RunIdentity, resolveConfig } from './config.js';
export { flopsOfStep } from './cost.js';
export { evaluateMaps } from './evaluate.js';
export { checkBeginning } from './initial.js';
export { parameterBytes } from './memory.js';
export { checkAnswers } from './method-answers.js';
export { NonFiniteSteps } from './non-finite.js';
export { checkSettings } from './preflight.js';
export { RunPrograms } from './programs.js';
export * from './public.js';
export {
  type Anneal,
  annealedRate,
  decayShapeNames,
  decaySteps,
  rewoundRate,
  scheduleNames,
  warmupOf,
} from './schedule.js';
export { stageNetwork } from './stage.js';
export {
  type MicroBatch,
  type QueuedStep,
  type StepOutcome,
  StepStream,
  Trainer,
  type TrainerStep,
} from './trainer.js';
