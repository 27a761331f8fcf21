/** Growth as arithmetic: layer maps, depth samplers, stage schedules. Pure functions; nothing else of the package is needed. */
export { relativeCost, relativeRunCost, type LayerFlops } from './cost.js';
export {
  compose,
  expansions,
  interpolate,
  stack,
  stackModulo,
  type Expansion,
  type ExpansionName,
  type LayerMap,
} from './maps.js';
export { Mt19937 } from './mt19937.js';
export { philox4x32, seedWords, uniform as uniformNumber, type Words2, type Words4 } from './philox.js';
export {
  depthStream,
  edge,
  full,
  lvps,
  makeEdge,
  makeLvps,
  makeSampler,
  none,
  sampleDepth,
  samplers,
  uniform,
  type DepthSampler,
  type SamplerName,
  type SamplerShape,
} from './samplers.js';
export {
  boundarySteps,
  defaultFractions,
  defaultUnits,
  makeSchedule,
  type Boundaries,
  type Stage,
  type StageSchedule,
} from './schedule.js';
