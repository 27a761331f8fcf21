/** Evaluation: fine-tuning on tasks, their scores, and what a language model says of text. */
export { Decoder, type DecoderOptions } from './decoder.js';
export { type SequenceEncoder, sequenceEncoder } from './encode.js';
export { evaluateTask, type TaskEvaluation, type TaskEvaluationOptions } from './evaluate-task.js';
export type { FineTuneEvent, SeedRecord } from './events.js';
export { type ExportFineTunedOptions, exportFineTuned } from './export-fine-tuned.js';
export { digestOf, encodeAll } from './features.js';
export { type FillCandidate, type FilledMask, type FillOptions, fillMask } from './fill.js';
export { type FineTunedDescription, isFineTuned, readFineTuned, saveFineTuned } from './fine-tuned.js';
export {
  type FineTunedFolder,
  type FineTunedModel,
  loadFineTuned,
  openFineTuned,
  type TunedTask,
} from './fine-tuned-folder.js';
export { checkFineTuning, type FineTuneDependencies, fineTune } from './finetune.js';
export { type GeneratedToken, type GenerateOptions, generate } from './generate.js';
export type { Head, HeadContext, HuggingFaceHead, LossContext } from './head.js';
export { classification, regression } from './heads/sequence.js';
export { spans } from './heads/spans.js';
export { checkLambada, type LambadaResult, lambada, readPassages } from './lambada.js';
export { NetworkPrograms, networkSpecs, unitsOf } from './network.js';
export { type FineTuneConfig, type FineTuneOptions, fineTuneConfig } from './options.js';
export { type PredictOptions, predict } from './predict.js';
export { type Candidates, candidates, checkSampling, draw, likeliest, type SamplingOptions } from './sampling.js';
export { bestEpoch, type EpochRecord } from './seed-folder.js';
export { type BodySource, trainedSource, untrainedSource } from './source.js';
export * as squad from './squad/index.js';
export * from './task.js';
export { taskByName, taskNames } from './tasks.js';
export {
  checkWindow,
  type MeasuredModel,
  readTokens,
  type TextLoss,
  type TextReading,
  type TextTokens,
  textLoss,
} from './text-loss.js';
export type { TrainedModel } from './trained.js';
