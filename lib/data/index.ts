/** Text for training as other rooms see it: what users have (public.ts), and what only this package needs. */
export { type BatchList, checkHasRows, heldOutCausal, heldOutMlm, passes } from './batches/batches.js';
export { mixedSource } from './batches/mixture.js';
export { rangeSource } from './batches/token-source.js';
export { TokenFile, TokenFileWriter } from './corpus/token-file.js';
export * from './public.js';
export { parseInput } from './read/inputs.js';
export { continuation } from './tokenizer/continuation.js';
export { endOfTextFiles, endOfTextNames, noEndOfText } from './tokenizer/end-of-text.js';
export { beginOf, longestFirst, openingOf, withMarks } from './tokenizer/framing.js';
export { checkVocabulary } from './tokenizer/tokenizer.js';
export { holdsTokenizer } from './tokenizer/tokenizer-files.js';
export { countWords, trainTokenizer } from './tokenizer/train-tokenizer.js';
export { WordCounts } from './tokenizer/word-counts.js';
