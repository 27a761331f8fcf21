/** Text for training: corpora, tokenizers, token files and batches. */
export {
  blockCount,
  causalBatch,
  heldOutCausalBatches,
  heldOutMlmBatches,
  mlmBatch,
  mlmCapacity,
  noLabel,
  type BatchOptions,
  type CausalBatch,
  type HeldOutOptions,
  type MlmBatch,
  type MlmOptions,
} from './batches.js';
export { prepareCorpus, type Corpus, type CorpusOptions, type CorpusProgress, type CorpusStats } from './prepare.js';
export { TokenFile, TokenFileWriter } from './token-file.js';
export { arraySource, rangeSource, type TokenSource } from './token-source.js';
export { checkVocabulary, createTokenizer, loadTokenizer, type SpecialTokens, type Tokenizer } from './tokenizer.js';
export type { TokenizerDefinition } from './tokenizer-files.js';
export { trainTokenizer, countWords, type TrainableKind } from './train-tokenizer.js';
