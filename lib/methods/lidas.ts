/**
 * LIDAS (arXiv 2512.08819): as MIDAS, but what is repeated are the layers around the middle seam, half a block from each
 * side.
 */
import { ApolloError } from '../errors.js';
import { repeatMiddleLayers } from '../growth/index.js';
import type { MethodContext, TrainingMethod } from './method.js';
import { type MiddleGrowthOptions, middleGrowth } from './middle-growth.js';

/**
 * Settings of the method `lidas`, see docs/methods.
 * @example
 * const options: LidasOptions = { layers: 12, totalSteps: 10_000, seed: 42, block: 4 };
 */
export interface LidasOptions extends MiddleGrowthOptions {
  /**
   * Layers that each growth adds, and the first stage has: an even number that divides the layers. Default: 4 where that
   * divides 12 layers or more, else 2.
   */
  block?: number | undefined;
}

/** Blocks of 4 as in the paper where that makes three stages or more, else of 2. */
function defaultBlock(layers: number): number {
  return layers % 4 === 0 && layers >= 12 ? 4 : 2;
}

/**
 * @example createMethod('lidas', { layers: 12, totalSteps: 10_000, seed: 42 }) // 4, 8 and 12 layers
 * @throws ApolloError BAD_CONFIG naming the setting that is wrong, BAD_ARGUMENT for stages that do not fit together.
 */
export function lidas(options: LidasOptions, context: MethodContext = {}): TrainingMethod {
  if (typeof options.block === 'number' && options.block % 2 !== 0) {
    throw new ApolloError(
      'BAD_CONFIG',
      `lidas.block: must be even, half of it is copied from each side of the seam; got ${options.block}.`,
    );
  }
  return middleGrowth('lidas', options, { map: repeatMiddleLayers, block: defaultBlock }, context);
}
