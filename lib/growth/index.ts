/**
 * `apollo-lm/growth`: growth as arithmetic. Layer maps, depth samplers, stage schedules, expansions of tensors. Pure functions; nothing else
 * of the package is needed, and nothing else is loaded.
 * @module growth
 */
export { philox4x32, seedWords, uniform as uniformNumber, type Words2, type Words4 } from '../random/philox.js';
export { blockDiagonal, momentFactors } from './block-diagonal.js';
export { type LayerFlops, relativeCost, relativeRunCost } from './cost.js';
export { type CurveRule, curveBoundaries } from './curve.js';
export { annealedDropProbability, type DropOptions, keepLevel, keepProbability } from './layer-drop.js';
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
  growThrough,
  interpolate,
  type LayerMap,
  stack,
  stackModulo,
  stackTop,
} from './maps.js';
export { proportionalFractions, repeatMiddleBlock, repeatMiddleLayers, repeatNewMiddle } from './middle-maps.js';
export { type LossPoint, mixingTime } from './mixing.js';
export { Mt19937 } from './mt19937.js';
export {
  cost,
  type DepthSampler,
  depthStream,
  edge,
  full,
  lvps,
  makeCost,
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
  defaultStageLayers,
  makeSchedule,
  rewarmFactor,
  type Stage,
  type StageSchedule,
} from './schedule.js';
export {
  advancedColumns,
  type CopyRule,
  checkMatrix,
  copyCounts,
  type DimensionMap,
  divideVector,
  duplicationMap,
  expandGroups,
  expandMatrix,
  expandMatrixRows,
  expandVector,
  type Matrix,
  type RowWise,
  sideBySide,
  widthStream,
} from './width.js';
