/** Growth as arithmetic: layer maps, depth samplers, stage schedules. Pure functions; nothing else of the package is needed. */
export { type LayerFlops, relativeCost, relativeRunCost } from './cost.js';
export {
  type DepthInit,
  depthInits,
  initialDepthWeights,
  initialWidthRows,
  type OperatorSeed,
  type WidthInit,
  widthInits,
} from './ligo.js';
export {
  compose,
  type Expansion,
  type ExpansionName,
  expansions,
  interpolate,
  type LayerMap,
  stack,
  stackModulo,
} from './maps.js';
export { Mt19937 } from './mt19937.js';
export { philox4x32, seedWords, uniform as uniformNumber, type Words2, type Words4 } from './philox.js';
export {
  type DepthSampler,
  depthStream,
  edge,
  full,
  lvps,
  makeEdge,
  makeLvps,
  makeSampler,
  none,
  type SamplerName,
  type SamplerShape,
  sampleDepth,
  samplers,
  uniform,
} from './samplers.js';
export {
  type Boundaries,
  boundarySteps,
  defaultFractions,
  defaultUnits,
  makeSchedule,
  type Stage,
  type StageSchedule,
} from './schedule.js';
