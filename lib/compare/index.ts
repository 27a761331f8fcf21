/** Comparisons as other rooms see them: what users have (public.ts), and what only this package needs. */
export { Comparison, checkNames } from './comparison.js';
export { resultsFile, withResults } from './kept-results.js';
export { PlannedFlops } from './planned-flops.js';
export * from './public.js';
export { type SmallRun, smallModel, smallRun, smallShape } from './small.js';
