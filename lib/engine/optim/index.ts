/** Optimizers, what they keep of each parameter, and their registry. */
export { AdamW, type AdamWOptions } from './adamw.js';
export { Muon, type MuonMatrixOptions, type MuonOptions } from './muon.js';
export type { Optimizer, StepOptions, StepResult, Update } from './optimizer.js';
export {
  createOptimizer,
  type OptimizerName,
  type OptimizerOptions,
  optimizerNames,
  optimizerState,
  updateFlops,
} from './registry.js';
export {
  type MomentSlot,
  type Moments,
  type ParameterState,
  type StateLayout,
  type StateSlot,
  slotFactor,
  stateBytes,
} from './slots.js';
