/**
 * FLOPs of a model by its matrix products, one multiply-add being two FLOPs. Counts are per token and exact integers.
 *
 * The convention called `model` (the paper's accounting) counts attention as the full S x S square and the head on all
 * positions, even those that the kernels skip. `causal` counts only the S(S+1)/2 pairs a causal kernel computes. Figures of
 * the two must not be mixed in one comparison.
 */
import type { ModelConfig } from './config.js';
import { familyOf } from './registry.js';

export interface FlopOptions {
  /** 'model': 4 S C for scores and weighted values, C the width of all heads; 'causal': 2 (S + 1) C, the average over positions. */
  readonly attention?: 'model' | 'causal';
  /** Fraction of positions on which the head runs. */
  readonly headFraction?: number;
}

/** Forward FLOPs of one layer per token, with attention over `seq` positions. */
export function layerFlops(config: ModelConfig, seq: number, options: FlopOptions = {}): number {
  return familyOf(config).layerFlops(config, seq, options);
}

/** Forward FLOPs of the head per token. */
export function headFlops(config: ModelConfig, options: FlopOptions = {}): number {
  return familyOf(config).headFlops(config, options) * (options.headFraction ?? 1);
}

/** Forward FLOPs per token of `depth` layers and the head. Sharing weights changes nothing: depth alone counts. */
export function forwardFlops(config: ModelConfig, depth: number, seq: number, options: FlopOptions = {}): number {
  return depth * layerFlops(config, seq, options) + headFlops(config, options);
}

/** Training FLOPs per token: the backward pass has two products (dX and dW) for each one of the forward pass. */
export function trainingFlops(config: ModelConfig, depth: number, seq: number, options: FlopOptions = {}): number {
  return 3 * forwardFlops(config, depth, seq, options);
}
