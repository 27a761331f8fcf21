/**
 * MIDAS (arXiv 2409.19044, NeurIPS 2024): the network grows by one block of layers at a time, each time by a copy of its
 * middle block, which is right after it.
 */
import { repeatMiddleBlock } from '../growth/index.js';
import type { MethodContext, TrainingMethod } from './method.js';
import { type MiddleGrowthOptions, middleGrowth } from './middle-growth.js';

/**
 * Settings of the method `midas`, see docs/methods.
 * @example
 * const options: MidasOptions = { layers: 12, totalSteps: 10_000, seed: 42, block: 3 };
 */
export interface MidasOptions extends MiddleGrowthOptions {}

/** Four stages where that goes, else three, two or as many as there are layers. */
function defaultBlock(layers: number): number {
  return layers / ([4, 3, 2].find((stages) => layers % stages === 0) ?? layers);
}

/**
 * @example createMethod('midas', { layers: 12, totalSteps: 10_000, seed: 42 }) // 3, 6, 9 and 12 layers
 * @throws ApolloError BAD_CONFIG naming the setting that is wrong, BAD_ARGUMENT for stages that do not fit together.
 */
export function midas(options: MidasOptions, context: MethodContext = {}): TrainingMethod {
  return middleGrowth('midas', options, { map: repeatMiddleBlock, block: defaultBlock }, context);
}
