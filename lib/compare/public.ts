/**
 * `apollo-lm/compare`: training methods at equal loss, each on the same batches, with what they save in FLOPs and time.
 * @module compare
 */
export {
  type ComparedChoice,
  type CompareEvent,
  type CompareOptions,
  compare,
  type MethodToCompare,
  type ResultsEvent,
} from './compare.js';
export type { ComparedContext, ComparedMethod, RunEvent, SeedlessOptions } from './comparison.js';
export type { SmallModel } from './small.js';
