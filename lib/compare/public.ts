/**
 * `apollo-lm/compare`: training methods at equal loss, each on the same batches, with what they save in FLOPs and time.
 * @module compare
 */
export { type ComparedChoice, type CompareOptions, compare, type MethodToCompare } from './compare.js';
export type { ComparedContext, ComparedMethod, RunEvent, SeedlessOptions } from './comparison.js';
export type { CompareEvent, ResultsEvent } from './kept-results.js';
export type { SmallModel } from './small.js';
