/** How far a set of runs is, measured in model FLOPs: what a step at a small depth costs is known beforehand. */
import type { TrainingMethod } from '../methods/index.js';
import type { LanguageModel } from '../models/index.js';
import { flopsOfStep } from '../train/index.js';

/** Model FLOPs of the first `steps` steps of a method, for a step of `tokens` tokens in sequences of `seq`. */
export function plannedFlops(
  method: TrainingMethod,
  { config }: Pick<LanguageModel, 'config'>,
  steps: number,
  size: { readonly seq: number; readonly tokens: number },
): number {
  let sum = 0;
  for (let step = 0; step < steps; step++) sum += flopsOfStep(method, config, step, size).model;
  return sum;
}
