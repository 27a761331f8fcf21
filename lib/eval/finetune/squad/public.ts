/**
 * SQuAD (Rajpurkar et al. 2016, 2018): its data, its scores, and `squadTask`, which is all of it as a task.
 * @module squad
 */
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
export { type SquadOptions, squadTask } from './task.js';
