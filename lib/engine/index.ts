/** The engine's public face: graphs, ops, gradients, devices, programs, parameters, the optimizer. */
export type { DType } from './dtype.js';
export { Graph, type Node, Tensor } from './graph.js';
export * from './ops/index.js';
export { broadcastShapes, formatShape, type Shape, size, type TensorType } from './shape.js';
