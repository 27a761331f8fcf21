/** The engine's public face: graphs, ops, gradients, devices, programs, parameters, optimizers. */
export { type AccumulateOptions, accumulateGradients, gradients } from './autodiff.js';
export type { Binding, ParameterNames, ProgramStores } from './binding.js';
export { type CompileOptions, Device, type DeviceInfo, type DeviceOptions, openDevice } from './device.js';
export { bytesPerElement, type DType, fromBfloat16, toBfloat16 } from './dtype.js';
export { evaluate } from './evaluate.js';
export { Graph, type Node, Tensor } from './graph.js';
export { graphFlops, type NamedType } from './lowering.js';
export { copyBandwidth, type MatmulPeak, matmulPeak } from './measure.js';
export { loadAddon, type NativeInfo } from './native.js';
export * from './ops/index.js';
export * from './optim/index.js';
export { type MomentCopy, type ParameterDeclaration, ParameterStore } from './parameters.js';
export {
  type InputData,
  type InstructionTime,
  Program,
  type ProgramMemory,
  type RunOptions,
  type RunResult,
} from './program.js';
export { RunGroup } from './run-group.js';
export { broadcastShapes, formatShape, type Shape, size, type TensorType } from './shape.js';
export { StateStore } from './state.js';
