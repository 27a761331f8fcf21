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
} from './batches/batches.js';
export { type MaskRules, mlmIds } from './batches/masking.js';
export { mixedSource } from './batches/mixture.js';
export { arraySource, rangeSource, type TokenSource } from './batches/token-source.js';
export {
  type Corpus,
  type CorpusOptions,
  type CorpusProgress,
  type CorpusSource,
  type CorpusStats,
  prepareCorpus,
} from './corpus/prepare.js';
export { TokenFile, TokenFileWriter } from './corpus/token-file.js';
export type { StreamDecoder } from './read/detokenize.js';
export { formatNames } from './read/formats/index.js';
export { type CorpusInput, parseInput, type ReadOptions } from './read/inputs.js';
export { endOfTextFile, endsOfText, noEndOfText } from './tokenizer/end-of-text.js';
export { beginOf, type FramedTokens } from './tokenizer/framing.js';
export type { PlacedTokens } from './tokenizer/offsets.js';
export {
  checkVocabulary,
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
export { countWords, type TrainableKind, trainTokenizer } from './tokenizer/train-tokenizer.js';
export { WordCounts } from './tokenizer/word-counts.js';
