/// <reference types="node" preserve="true" />
/// <reference lib="esnext.disposable" preserve="true" />
/**
 * The package: everything a training script needs by name, and the rooms it is made of as namespaces. Importing loads
 * no native code; that happens when a device is opened.
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
 */
export {
  type ComparedChoice,
  type ComparedMethod,
  type CompareEvent,
  type CompareOptions,
  compare,
} from './compare/index.js';
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
} from './data/index.js';
export { type Group, openGroup } from './dist/index.js';
export * as engine from './engine/index.js';
export { type Device, type DeviceOptions, openDevice, type Program } from './engine/index.js';
export { ApolloError, type ErrorCode } from './errors.js';
export { type FilledMask, type FillOptions, fillMask } from './eval/generate/fill.js';
export { type GeneratedToken, type GenerateOptions, generate } from './eval/generate/generate.js';
export * as evaluation from './eval/index.js';
export * as growth from './growth/index.js';
export { saveTokenizer, type TokenizerFile, tokenizerFiles } from './interop/hugging-face-tokenizer.js';
export * as tensorboard from './interop/tensorboard.js';
export {
  type ChosenMethod,
  createMethod,
  type MethodChoice,
  type MethodName,
  type MethodOptions,
  methodNames,
  type StepPlan,
  type TrainingMethod,
} from './methods/index.js';
export * as models from './models/building-blocks.js';
export {
  createModel,
  type LanguageModel,
  type ModelConfig,
  type ModelFamily,
  preset,
  presetNames,
  registerFamily,
} from './models/index.js';
export * as nn from './nn/index.js';
export * as report from './report/index.js';
export {
  createTrainer,
  type EvaluationEvent,
  exportModel,
  type LoadedModel,
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
  type TrainOptions,
  train,
} from './train/index.js';
export { type TrainingCorpusOptions, trainingCorpus } from './train/text-corpus.js';
