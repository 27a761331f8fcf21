/**
 * `apollo-lm/data`: text for training. Corpora, tokenizers, token files and batches.
 * @module data
 */
export {
  type BatchOptions,
  blockCount,
  type CausalBatch,
  causalBatch,
  type HeldOutOptions,
  heldOutCausalBatches,
  heldOutMlmBatches,
  type MlmBatch,
  type MlmOptions,
  mlmBatch,
  mlmCapacity,
  noLabel,
} from './batches/batches.js';
export { type MaskRules, mlmIds } from './batches/masking.js';
export type { SourcePart } from './batches/mixture.js';
export { arraySource, type TokenSource } from './batches/token-source.js';
export {
  type Corpus,
  type CorpusOptions,
  type CorpusProgress,
  type CorpusSource,
  type CorpusStats,
  prepareCorpus,
} from './corpus/prepare.js';
export type { StreamDecoder } from './read/detokenize.js';
export { formatNames } from './read/formats/index.js';
export type { CorpusInput, ReadOptions } from './read/inputs.js';
export type { FramedTokens } from './tokenizer/framing.js';
export type { PlacedTokens } from './tokenizer/offsets.js';
export {
  createTokenizer,
  type DecodeOptions,
  loadTokenizer,
  type PairEncoding,
  type SpecialTokens,
  type Tokenizer,
} from './tokenizer/tokenizer.js';
export type { TokenizerDefinition } from './tokenizer/tokenizer-files.js';
export {
  type TextTraining,
  type TextTrainingProgress,
  type TrainedTokenizer,
  trainTokenizerOnText,
} from './tokenizer/train-on-text.js';
export type { TrainableKind } from './tokenizer/train-tokenizer.js';
