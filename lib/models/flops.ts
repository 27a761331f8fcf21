/**
 * FLOPs of a model by its matrix products, one multiply-add being two FLOPs. Counts are per token and exact integers.
 *
 * The convention called `model` (the paper's accounting) counts attention as the full S x S square and the head on all
 * positions, whatever the kernels skip. `causal` counts only the S(S+1)/2 pairs a causal kernel computes. Figures of
 * the two must not be mixed in one comparison.
 */
import type { ModelConfig } from './config.js';

export interface FlopOptions {
  /** 'model': 4Sh for scores and weighted values; 'causal': 2(S+1)h, the average over positions. */
  readonly attention?: 'model' | 'causal';
  /** Fraction of positions on which the head runs. */
  readonly headFraction?: number;
}

/** Forward FLOPs of one layer per token: QKV 6h² + output 2h² + feed-forward 4hf + attention over `seq` positions. */
export function layerFlops({ hidden, ffn }: ModelConfig, seq: number, options: FlopOptions = {}): number {
  const attention = options.attention === 'causal' ? 2 * (seq + 1) * hidden : 4 * seq * hidden;
  return 8 * hidden * hidden + 4 * hidden * ffn + attention;
}

/** Forward FLOPs of the head per token: 2hV, and for BERT its transform 2h². */
export function headFlops({ kind, hidden, vocab }: ModelConfig, options: FlopOptions = {}): number {
  const head = 2 * hidden * vocab + (kind === 'bert' ? 2 * hidden * hidden : 0);
  return head * (options.headFraction ?? 1);
}

/** Forward FLOPs per token of `depth` layers and the head. Sharing weights changes nothing: depth alone counts. */
export function forwardFlops(config: ModelConfig, depth: number, seq: number, options: FlopOptions = {}): number {
  return depth * layerFlops(config, seq, options) + headFlops(config, options);
}

/** Training FLOPs per token: the backward pass has two products (dX and dW) for each one of the forward pass. */
export function trainingFlops(config: ModelConfig, depth: number, seq: number, options: FlopOptions = {}): number {
  return 3 * forwardFlops(config, depth, seq, options);
}
