/**
 * `apollo-lm/engine`: graphs, ops, gradients, devices, programs, parameters, optimizers.
 * @module engine
 */
export { type AccumulateOptions, accumulateGradients, gradients } from './autodiff.js';
export type { Binding, ParameterNames, ProgramStores } from './binding.js';
export { type CompileOptions, type Device, type DeviceInfo, type DeviceOptions, openDevice } from './device.js';
export { bytesPerElement, type DType, fromBfloat16, toBfloat16 } from './dtype.js';
export { evaluate } from './evaluate.js';
export { Graph, type Node, Tensor } from './graph.js';
export { graphFlops, type NamedType } from './lowering.js';
export { copyBandwidth, type MatmulPeak, matmulPeak } from './measure.js';
export * from './ops/public.js';
export {
  AdamW,
  type AdamWOptions,
  createOptimizer,
  type MomentSlot,
  type Moments,
  Muon,
  type MuonMatrixOptions,
  type MuonOptions,
  type Optimizer,
  type OptimizerName,
  type OptimizerOptions,
  optimizerNames,
  optimizerState,
  type ParameterState,
  type StateLayout,
  type StateSlot,
  type StepOptions,
  type StepResult,
  stateBytes,
  type Update,
  updateFlops,
} from './optim/index.js';
export { type MomentCopy, type ParameterDeclaration, ParameterStore } from './parameters.js';
export type {
  InputData,
  InstructionTime,
  Program,
  ProgramMemory,
  RunOptions,
  RunResult,
} from './program.js';
export { RunGroup } from './run-group.js';
export type { Shape, TensorType } from './shape.js';
export { StateStore } from './state.js';
