/**
 * Progressive layer dropping (Zhang and He, "Accelerating Training of Transformer-Based Language Models with Progressive
 * Layer Dropping", NeurIPS 2020): all layers from the start, but each step leaves some out, the more of them the
 * later it is and the higher they are. A layer that is left out is the identity; the branches of one that is kept are
 * scaled up, so that their expectation stays.
 */

import { z } from 'zod';
import { keepProbability, uniformNumber } from '../growth/index.js';
import { uniformStreams } from '../random/streams.js';
import { identityMap, type TrainingMethod } from './method.js';
import { commonOptions, parseOptions } from './options.js';

const schema = z.strictObject({
  ...commonOptions,
  /** Final keep probability of the top layer, in (0, 1]. Default: 0.5. */
  limit: z.number().gt(0).max(1).default(0.5),
  /** How fast: the distance to `limit` shrinks by e in 1 / gamma steps. Above 0. Default: 0.001. */
  gamma: z.number().positive().default(0.001),
});
/**
 * Settings of the method `pld`, see docs/methods.
 * @example
 * const options: PldOptions = { layers: 12, totalSteps: 10_000, seed: 42 };
 */
export interface PldOptions extends z.input<typeof schema> {}

/** @throws ApolloError BAD_CONFIG naming the setting that is wrong. */
export function pld(options: PldOptions): TrainingMethod {
  const settings = parseOptions('pld', schema, options);
  const { layers, seed, limit, gamma } = settings;
  const all = identityMap(layers);
  return {
    name: 'pld',
    layers,
    settings,
    stageAt: () => ({ index: 0, trainedLayers: layers }),
    plan(step) {
      const probability = (layer: number) => keepProbability(step, layer, layers, { limit, gamma });
      const kept = all.filter(
        (layer) => uniformNumber(seed, uniformStreams.layerDrop, step * layers + layer) < probability(layer),
      );
      const layerMap = kept.length > 0 ? kept : [0]; // a network has a layer
      return {
        trainedLayers: layers,
        depth: layerMap.length,
        layerMap,
        branchScales: layerMap.map((layer) => 1 / probability(layer)),
      };
    },
    evaluationMaps: () => ({ full: all, stage: all }),
    growth: () => undefined,
  };
}
