/** The layer that BERT and GPT-2 share: fused attention, a feed-forward part of two matrices, two layer norms, biases. */
import * as is from '../is.js';
import type { ModelConfig } from './config.js';
import type { FlopOptions } from './flops.js';
import type { ParameterSpec, TensorUse } from './model.js';
import { linear, norm, span } from './parameters.js';

/** Names of a layer's modules in Hugging Face checkpoints, and how its matrices are there. */
export interface LayerNames {
  readonly qkv: readonly string[];
  readonly attentionOutput: string;
  readonly attentionNorm: string;
  readonly up: string;
  readonly down: string;
  readonly ffnNorm: string;
  readonly transposed: boolean;
}

export interface LayerOptions {
  /** Standard deviation of the two projections onto the residual stream. */
  readonly residualStd: number;
  readonly names: LayerNames;
  /** Use of the norm after attention. */
  readonly attentionNormUse?: TensorUse;
}

/** Layer `layer`: attention (fused QKV, output, norm) and feed-forward (up, down, norm). */
export function layerParameters(
  { hidden, ffn, initStd }: ModelConfig,
  layer: number,
  { residualStd, names, attentionNormUse }: LayerOptions,
): ParameterSpec[] {
  const stream = span('hidden', hidden);
  const heads = (module: string) => span('heads', hidden, module);
  const units = span('ffn', ffn, 'ffn.up');
  const { transposed } = names;
  const branchOutput = { layer, use: 'branchOutput', transposed } as const;
  const [query, key, value] = ['attention.query', 'attention.key', 'attention.value'].map(heads) as [
    ReturnType<typeof heads>,
    ReturnType<typeof heads>,
    ReturnType<typeof heads>,
  ];
  return [
    ...linear('attention.qkv', stream, [query, key, value], initStd, { layer, foreign: names.qkv, transposed }),
    ...linear('attention.output', value, [stream], residualStd, { ...branchOutput, foreign: [names.attentionOutput] }),
    ...norm('attention.norm', stream, { layer, use: attentionNormUse, foreign: [names.attentionNorm] }),
    ...linear('ffn.up', stream, [units], initStd, { layer, foreign: [names.up], transposed }),
    ...linear('ffn.down', units, [stream], residualStd, { ...branchOutput, foreign: [names.down] }),
    ...norm('ffn.norm', stream, { layer, foreign: [names.ffnNorm] }),
  ];
}

/** Forward FLOPs of that layer per token: QKV 6h² + output 2h² + feed-forward 4hf + attention over `seq` positions. */
export function transformerLayerFlops({ hidden, ffn }: ModelConfig, seq: number, options: FlopOptions = {}): number {
  return 8 * hidden * hidden + 4 * hidden * ffn + attentionFlops(hidden, seq, options);
}

const takesAttentionFlops = is.takes('attentionFlops', {
  width: is.count,
  seq: is.notNegative,
  options: is.optional(
    is.options({ attention: is.optional(is.oneOf('model', 'causal')), headFraction: is.optional(is.number) }),
  ),
});

/**
 * Forward FLOPs of scores and weighted values per token, for heads of `width` together.
 * @example
 * attentionFlops(config.hidden, 1024);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function attentionFlops(width: number, seq: number, options: FlopOptions = {}): number {
  takesAttentionFlops(width, seq, options);

  return options.attention === 'causal' ? 2 * (seq + 1) * width : 4 * seq * width;
}
