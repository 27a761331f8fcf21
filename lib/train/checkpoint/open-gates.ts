/** Gates that are partly open when a checkpoint is written: what a model that is loaded from it, which has none, can keep of them. */
import type { ParameterSpec } from '../../models/index.js';

/** `Gates` as a checkpoint holds them. */
interface StoredGates {
  readonly branchScales?: readonly number[] | undefined;
  readonly blockGates?: readonly number[] | undefined;
}

/**
 * The value of a tensor with the scale of its layer's residual branches in it: the branch's last projection, weights and
 * biases, gives the scaled branch.
 */
export function withBranchScales(
  spec: ParameterSpec,
  value: Float32Array,
  { branchScales }: StoredGates,
): Float32Array {
  const { layer, use } = spec;
  if (!branchScales || use !== 'branchOutput' || layer === undefined) return value;
  const scale = branchScales[layer] as number;
  return scale === 1 ? value : value.map((element) => scale * element);
}

/** Warning for gates of whole layers, which no weights can express; empty when they are open. */
export function closedGates(folder: string, { blockGates = [] }: StoredGates): string[] {
  if (blockGates.every((gate) => gate === 1)) return [];
  return [
    `The checkpoint ${folder} was written while new layers were entering behind gates. The loaded model has no gates and computes another function than the run's evaluations. ` +
      'Take a checkpoint of another step, or resume the run until the gates are open.',
  ];
}
