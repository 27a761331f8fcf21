/** Scratch: every step trains the whole model. What all other methods are compared with. */
import { z } from 'zod';
import { identityMap, type TrainingMethod } from './method.js';
import { commonOptions, parseOptions } from './options.js';

const schema = z.strictObject(commonOptions);
/**
 * Settings of the method `scratch`, see docs/methods.
 * @example
 * const options: ScratchOptions = { layers: 12, totalSteps: 10_000, seed: 42 };
 */
export interface ScratchOptions extends z.input<typeof schema> {}

/** @throws ApolloError BAD_CONFIG naming the setting that is wrong. */
export function scratch(options: ScratchOptions): TrainingMethod {
  const settings = parseOptions('scratch', schema, options);
  const { layers } = settings;
  const layerMap = identityMap(layers);
  return {
    name: 'scratch',
    layers,
    settings,
    stageAt: () => ({ index: 0, trainedLayers: layers }),
    plan: () => ({ trainedLayers: layers, depth: layers, layerMap }),
    evaluationMaps: () => ({ full: layerMap, stage: layerMap }),
    growth: () => undefined,
  };
}
