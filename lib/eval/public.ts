/**
 * `apollo-lm/eval`: generation, fine-tuning on tasks and their scores, and what a language model says of text.
 * @module eval
 */
export { type SequenceEncoder, type SequenceFrame, sequenceEncoder } from './finetune/encode.js';
export { evaluateTask, type TaskEvaluation, type TaskEvaluationOptions } from './finetune/evaluate-task.js';
export type { FineTuneEvent, SeedRecord } from './finetune/events.js';
export { type ExportFineTunedOptions, exportFineTuned } from './finetune/export-fine-tuned.js';
export { type FineTunedDescription, isFineTuned, readFineTuned } from './finetune/fine-tuned.js';
export {
  type FineTunedFolder,
  type FineTunedModel,
  loadFineTuned,
  openFineTuned,
  type TunedTask,
} from './finetune/fine-tuned-folder.js';
export { type FineTuneDependencies, fineTune } from './finetune/finetune.js';
export type { Head, HeadContext, HuggingFaceHead, LossContext } from './finetune/head.js';
export { classification, regression } from './finetune/heads/sequence.js';
export { spans } from './finetune/heads/spans.js';
export { NetworkPrograms } from './finetune/network.js';
export type { FineTuneConfig, FineTuneOptions } from './finetune/options.js';
export { type PredictOptions, predict } from './finetune/predict.js';
export type { EpochRecord } from './finetune/seed-folder.js';
export { type BodySource, trainedSource, untrainedSource } from './finetune/source.js';
export * as squad from './finetune/squad/public.js';
export type {
  Feature,
  FineTuneTask,
  Metrics,
  Outputs,
  PredictionFile,
  Split,
  SplitKind,
  TaskData,
  TaskSetting,
} from './finetune/task.js';
export { taskByName, taskNames } from './finetune/tasks.js';
export { Decoder, type DecoderOptions } from './generate/decoder.js';
export { type FillCandidate, type FilledMask, type FillOptions, fillMask } from './generate/fill.js';
export { type GeneratedToken, type GenerateOptions, generate } from './generate/generate.js';
export { type Candidates, candidates, draw, likeliest, type SamplingOptions } from './generate/sampling.js';
export { type LambadaResult, lambada, readPassages } from './text/lambada.js';
export {
  type MeasuredModel,
  readTokens,
  type TextLoss,
  type TextReading,
  type TextTokens,
  textLoss,
} from './text/text-loss.js';
export type { TrainedModel } from './trained.js';
