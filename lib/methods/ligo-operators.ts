/**
 * LiGO's two operators on one weight, as expressions in a graph: a layer is a weighted sum of the small model's layers,
 * and its inputs and outputs grow by rows [I; S], of which the identity is fixed and S is learned. LiGO writes
 * W' = B W A^T for W [outputs, inputs]; weights here are [inputs, outputs], so it is A W B^T with A = [I; S_in] on the
 * rows and B = [I; S_out] on the columns. Nothing is divided by how often a unit is used.
 */
import type { Tensor } from '../engine/graph.js';
import { concat, matmul, reshape } from '../engine/ops/index.js';
import { type Shape, size } from '../engine/shape.js';

/** weights [L1], layers [L1, ...shape] -> [...shape]: the sum of weights[j] layers[j]. */
export function blendLayers(weights: Tensor, layers: Tensor): Tensor {
  const [count, ...shape] = layers.shape as [number, ...number[]];
  return reshape(matmul(reshape(weights, [1, count]), reshape(layers, [count, -1])), shape);
}

/** x [inputs, outputs], added S [new, inputs] -> [inputs + new, outputs]: the rows of x, then those of S x. */
export function widenInputs(x: Tensor, added: Tensor): Tensor {
  return concat([x, matmul(added, x)], 0);
}

/** x [inputs, outputs] or [outputs], added S [new, outputs] -> outputs + new: the columns of x, then those of x S^T. */
export function widenOutputs(x: Tensor, added: Tensor): Tensor {
  const rows = x.shape.length === 1 ? reshape(x, [1, -1]) : x;
  const wide = concat([rows, matmul(rows, added, { transB: true })], 1);
  return x.shape.length === 1 ? reshape(wide, [-1]) : wide;
}

/** FLOPs of the three on a weight of `shape`: `layers` blended (0: none), then the numbers of new inputs and outputs. */
export function operatorFlops(
  shape: Shape,
  added: { readonly layers: number; readonly inputs: number; readonly outputs: number },
): number {
  const outputs = shape.at(-1) as number;
  const inputs = size(shape) / outputs;
  const blend = 2 * added.layers * inputs * outputs;
  const widen = 2 * added.inputs * inputs * outputs + 2 * (inputs + added.inputs) * outputs * added.outputs;
  return blend + widen;
}
