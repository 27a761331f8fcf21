/** Comparisons as other rooms see them: what users have (public.ts), and what only this package needs. */
export { Comparison, type ComparisonOptions, checkNames } from './comparison.js';
export { plannedFlops } from './planned-flops.js';
export * from './public.js';
export { type SmallShape, smallModel, smallShape } from './small.js';
