/** SQuAD (Rajpurkar et al. 2016, 2018): data, windows, answers and scores; `squadTask` is all of it as a task. */
export {
  parseSquad,
  readSquad,
  type Skipped,
  type SquadAnswer,
  type SquadDataset,
  type SquadQuestion,
} from './dataset.js';
export type { SquadVersion } from './files.js';
export {
  type BestThresholds,
  type GoldQuestion,
  type NullOdds,
  officialScores,
  type Predictions,
  type Score,
  type Scores,
  scoreV1,
  scoreV2,
} from './metrics.js';
export { exactMatch, f1, normalizeAnswer } from './normalize.js';
export {
  type Candidate,
  nBestOf,
  nullOddsOf,
  type PredictOptions,
  predictionsOf,
  predictQuestion,
  type QuestionPrediction,
  type WindowLogits,
} from './predict.js';
export { type SquadOptions, squadTask } from './task.js';
export {
  type EncodedQuestion,
  encodeQuestion,
  maxContext,
  type OffsetEncoding,
  type SquadWindow,
  spanText,
  type TokenSpan,
  tokenSpan,
  type WindowOptions,
  windowsOf,
} from './windows.js';
