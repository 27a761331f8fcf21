/** Text for training: corpora, tokenizers, token files and batches. */
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
  passes,
} from './batches.js';
export type { StreamDecoder } from './detokenize.js';
export { endOfTextFile, endsOfText, noEndOfText } from './end-of-text.js';
export { formatNames } from './formats/index.js';
export type { FramedTokens } from './framing.js';
export { type CorpusInput, parseInput, type ReadOptions } from './inputs.js';
export { type MaskRules, mlmIds } from './masking.js';
export { mixedSource } from './mixture.js';
export type { PlacedTokens } from './offsets.js';
export {
  type Corpus,
  type CorpusOptions,
  type CorpusProgress,
  type CorpusSource,
  type CorpusStats,
  prepareCorpus,
} from './prepare.js';
export { TokenFile, TokenFileWriter } from './token-file.js';
export { arraySource, rangeSource, type TokenSource } from './token-source.js';
export {
  checkVocabulary,
  createTokenizer,
  type DecodeOptions,
  loadTokenizer,
  type PairEncoding,
  type SpecialTokens,
  type Tokenizer,
} from './tokenizer.js';
export type { TokenizerDefinition } from './tokenizer-files.js';
export {
  type TextTraining,
  type TextTrainingProgress,
  type TrainedTokenizer,
  trainTokenizerOnText,
} from './train-on-text.js';
export { countWords, type TrainableKind, trainTokenizer } from './train-tokenizer.js';
export { WordCounts } from './word-counts.js';
