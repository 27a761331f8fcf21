/** Shared code of methods that train a random part of the layers in each step: draws, and rescaling of the kept layers. */
import { z } from 'zod';
import { uniformNumber } from '../growth/index.js';
import type { Gates, StepPlan } from './method.js';

/**
 * How a layer that is kept with probability p makes up for the steps in which it is skipped: both residual branches times
 * 1 / p, the layer's whole residual times 1 / p, or not at all.
 */
export const keptScale = z.enum(['branches', 'layer', 'none']);

/** The plan of a step that keeps each layer with its probability, by one draw a layer. At least the first layer is kept. */
export function subNetworkPlan(
  probabilities: readonly number[],
  scale: z.output<typeof keptScale>,
  draw: { readonly seed: number; readonly stream: number; readonly step: number },
): StepPlan {
  const layers = probabilities.length;
  const kept = probabilities.flatMap((probability, layer) =>
    uniformNumber(draw.seed, draw.stream, draw.step * layers + layer) < probability ? [layer] : [],
  );
  const layerMap = kept.length > 0 ? kept : [0];
  return { trainedLayers: layers, depth: layerMap.length, layerMap, ...scaled(probabilities, layerMap, scale) };
}

function scaled(
  probabilities: readonly number[],
  layerMap: readonly number[],
  scale: z.output<typeof keptScale>,
): Gates {
  if (scale === 'none' || probabilities.every((probability) => probability === 1)) return {};
  const factors = layerMap.map((layer) => 1 / (probabilities[layer] as number));
  return scale === 'branches' ? { branchScales: factors } : { blockGates: factors };
}
