/**
 * FLOPs of a model by its matrix products, one multiply-add being two FLOPs. Counts are per token and exact integers.
 *
 * The convention called `model` (the paper's accounting) counts attention as the full S x S square and the head on all
 * positions, even those that the kernels skip. `causal` counts only the S(S+1)/2 pairs a causal kernel computes. Figures of
 * the two must not be mixed in one comparison.
 */
import * as is from '../is.js';
import type { ModelConfig } from './config.js';
import { familyOf } from './registry.js';

/** How FLOPs are counted. */
export interface FlopOptions {
  /** 'model': 4 S C for scores and weighted values, C the width of all heads; 'causal': 2 (S + 1) C, the average over positions. */
  readonly attention?: 'model' | 'causal';
  /** Fraction of positions on which the head runs. */
  readonly headFraction?: number;
}

const options = is.options({
  attention: is.optional(is.oneOf('model', 'causal')),
  headFraction: is.optional(is.notNegative),
});
const takesLayerFlops = is.takes('layerFlops', { config: is.modelConfig, seq: is.notNegative, options });
const takesHeadFlops = is.takes('headFlops', { config: is.modelConfig, options });
const ofDepth = { config: is.modelConfig, depth: is.notNegative, seq: is.notNegative, options };
const takesForwardFlops = is.takes('forwardFlops', ofDepth);
const takesTrainingFlops = is.takes('trainingFlops', ofDepth);

/**
 * Forward FLOPs of one layer per token, with attention over `seq` positions.
 * @example
 * layerFlops(preset('gpt-base'), 1024, { attention: 'causal' });
 */
export function layerFlops(config: ModelConfig, seq: number, options: FlopOptions = {}): number {
  takesLayerFlops(config, seq, options);
  return familyOf(config).layerFlops(config, seq, options);
}

/**
 * Forward FLOPs of the head per token.
 * @example
 * headFlops(preset('gpt-base'));
 */
export function headFlops(config: ModelConfig, options: FlopOptions = {}): number {
  takesHeadFlops(config, options);
  return familyOf(config).headFlops(config, options) * (options.headFraction ?? 1);
}

/**
 * Forward FLOPs per token of `depth` layers and the head. Sharing weights changes nothing: depth alone counts.
 * @example
 * forwardFlops(preset('gpt-base'), 12, 1024);
 */
export function forwardFlops(config: ModelConfig, depth: number, seq: number, options: FlopOptions = {}): number {
  takesForwardFlops(config, depth, seq, options);
  return depth * layerFlops(config, seq, options) + headFlops(config, options);
}

/**
 * Training FLOPs per token: the backward pass has two products (dX and dW) for each one of the forward pass.
 * @example
 * const flopsOfStep = 8 * 1024 * trainingFlops(preset('gpt-base'), 12, 1024);
 */
export function trainingFlops(config: ModelConfig, depth: number, seq: number, options: FlopOptions = {}): number {
  takesTrainingFlops(config, depth, seq, options);
  return 3 * forwardFlops(config, depth, seq, options);
}
