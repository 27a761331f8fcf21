/// <reference types="node" preserve="true" />
/// <reference lib="esnext.disposable" preserve="true" />
/**
 * `apollo-lm`: everything a training script needs, by name. Each room of the package in full is a subpath (`apollo-lm/engine`,
 * `apollo-lm/growth`, …). Importing loads no native code; that happens when a device is opened.
 *
 * ```ts
 * import { createModel, openDevice, prepareCorpus, preset, train, trainingCorpus } from 'apollo-lm';
 *
 * const model = createModel(preset('gpt-nano'));
 * const corpus = await prepareCorpus({
 *   inputs: ['books/*.txt'], tokenizer: { train: 'bpe', vocabSize: model.config.vocabSize }, cacheDir: '.cache',
 * });
 * const device = await openDevice();
 * const deps = { device, model, method: 'auto', corpus: trainingCorpus(corpus) } as const;
 * for await (const event of train({ steps: 1000, batch: 16, seq: 128 }, deps)) {
 *   if (event.type === 'evaluation') console.log(event.step, event.lossFull);
 * }
 * ```
 * @module apollo-lm
 */
export {
  type ComparedChoice,
  type ComparedMethod,
  type CompareEvent,
  type CompareOptions,
  compare,
} from './compare/public.js';
export {
  type Corpus,
  type CorpusInput,
  type CorpusOptions,
  createTokenizer,
  loadTokenizer,
  prepareCorpus,
  type TextTraining,
  type TextTrainingProgress,
  type Tokenizer,
  type TokenizerDefinition,
  type TrainedTokenizer,
  trainTokenizerOnText,
} from './data/public.js';
export { type Group, openGroup } from './dist/public.js';
export { type Device, type DeviceOptions, openDevice, type Program } from './engine/public.js';
export { ApolloError, type ErrorCode } from './errors.js';
export {
  type FilledMask,
  type FillOptions,
  fillMask,
  type GeneratedToken,
  type GenerateOptions,
  generate,
} from './eval/public.js';
export { saveTokenizer, type TokenizerFile, tokenizerFiles } from './interop/index.js';
export {
  type ChosenMethod,
  createMethod,
  type MethodChoice,
  type MethodDefinition,
  type MethodName,
  type MethodOptions,
  methodNames,
  registerMethod,
  type StepPlan,
  type TrainingMethod,
} from './methods/public.js';
export {
  createModel,
  type LanguageModel,
  type ModelConfig,
  type ModelFamily,
  preset,
  presetNames,
  registerFamily,
} from './models/public.js';
export {
  type CheckpointFolder,
  createTrainer,
  type EvaluationEvent,
  exportModel,
  type LoadedModel,
  listCheckpoints,
  loadModel,
  type ModelFolder,
  type ModelTrainer,
  type Objective,
  type ObjectiveContext,
  openModelFolder,
  type StepEvent,
  type TrainDependencies,
  type TrainEvent,
  type TrainerDependencies,
  type TrainerStepResult,
  type TrainingCorpus,
  type TrainingCorpusOptions,
  type TrainOptions,
  train,
  trainingCorpus,
} from './train/public.js';
