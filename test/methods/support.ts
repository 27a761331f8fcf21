/** Helpers of the tests of methods. */
import type { LayerGrowth, TrainingMethod } from '../../lib/methods/index.js';

/** The growth at the beginning of `step`, which must be one by copies of layers. */
export function layerGrowth(method: TrainingMethod, step: number): LayerGrowth {
  const plan = method.growth(step);
  if (plan?.kind !== 'layers') throw new Error(`step ${step} of ${method.name}: no growth by copies`);
  return plan;
}
