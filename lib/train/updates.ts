/** Which parameters a step updates, and at which rates, as the optimizer takes it. */
import type { StepOptions } from '../engine/optim/optimizer.js';
import type { StepPlan } from '../methods/method.js';
import { layerOf, ofOtherLayer } from '../models/index.js';
import type { TrainingProgram } from './programs.js';

/** `names` and the same parameters of all trained layers, in the order in which the network of all layers has them. */
function ofAllLayers(names: readonly string[], trainedLayers: number): string[] {
  const begin = names.findIndex((name) => layerOf(name) !== undefined);
  const first = layerOf(names[begin] as string);
  const block = names.filter((name) => layerOf(name) === first);
  const layers = Array.from({ length: trainedLayers }, (_, layer) => block.map((name) => ofOtherLayer(name, layer)));
  const after = names.filter((name, i) => i > begin && layerOf(name) === undefined);
  return [...names.slice(0, begin), ...layers.flat(), ...after];
}

/**
 * The optimizer's names and options for a step. A step that skips layers takes the names of all trained layers, so that
 * one compiled update serves them all, and leaves the skipped ones inactive: they keep value, state and step count.
 */
export function updateOf(
  { names, byPlace }: Pick<TrainingProgram, 'names' | 'byPlace'>,
  plan: StepPlan,
): { names: readonly string[]; options: Pick<StepOptions, 'active' | 'rateFactor'> } {
  const { updates, layerRates } = plan;
  const skips = byPlace && !plan.trainable && new Set(plan.layerMap).size < plan.trainedLayers;
  const reached = new Set(names);
  const active = (name: string) => reached.has(name) && (updates?.(name) ?? true);
  const byLayer = layerRates && ((name: string) => layerRates[layerOf(name) ?? -1] ?? 1);
  const rateFactor = plan.rateFactor ?? byLayer;
  return {
    names: skips ? ofAllLayers(names, plan.trainedLayers) : names,
    options: { ...((skips || updates) && { active }), ...(rateFactor && { rateFactor }) },
  };
}
