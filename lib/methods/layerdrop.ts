/**
 * Annealed layer dropout ("Don't Drop Dropout", ICML 2026, arXiv 2609.05275): a step skips layers at random, the more of
 * them the higher they are and the earlier it is; at the end all layers train.
 */

import { z } from 'zod';
import { annealedDropProbability } from '../growth/index.js';
import { uniformStreams } from '../random/streams.js';
import { identityMap, type TrainingMethod } from './method.js';
import { commonOptions, parseOptions } from './options.js';
import { keptScale, subNetworkPlan } from './sub-network.js';

const schema = z.strictObject({
  ...commonOptions,
  /** Probability that the top layer is skipped in the first step; a quarter of it is what the layers save. In [0, 1). Default: 0.2. */
  drop: z.number().min(0).lt(1).default(0.2),
  /**
   * How a layer that is kept with probability p makes up for the steps without it: both residual branches times 1 / p
   * ('branches'), its whole residual times 1 / p ('layer'), or not at all ('none'). Default: 'layer'.
   */
  scale: keptScale.default('layer'),
});
/**
 * Settings of the method `layerdrop`, see docs/methods.
 * @example
 * const options: LayerDropOptions = { layers: 12, totalSteps: 10_000, seed: 42 };
 */
export interface LayerDropOptions extends z.input<typeof schema> {}

/** @throws ApolloError BAD_CONFIG naming the setting that is wrong. */
export function layerdrop(options: LayerDropOptions): TrainingMethod {
  const settings = parseOptions('layerdrop', schema, options);
  const { layers, seed, totalSteps: steps, drop, scale } = settings;
  const all = identityMap(layers);
  const keptAt = (step: number) =>
    all.map((layer) => 1 - annealedDropProbability({ layer, layers }, { step, steps }, drop));
  return {
    name: 'layerdrop',
    layers,
    settings,
    stageAt: () => ({ index: 0, trainedLayers: layers }),
    plan: (step) => subNetworkPlan(keptAt(step), scale, { seed, stream: uniformStreams.skip, step }),
    evaluationMaps: () => ({ full: all, stage: all }),
    growth: () => undefined,
  };
}
