/**
 * GPT-2 (Radford et al. 2019), arithmetic as in Hugging Face's GPT2LMHeadModel: pre-norm layers, causal attention,
 * final norm, a head without bias; tanh GELU and a head tied to the word embeddings unless the configuration says otherwise.
 */
import { dropout } from '../../engine/ops/index.js';
import { tokenEmbeddings } from '../../nn/layers.js';
import { preNormStack } from '../../nn/transformer.js';
import { bodyInputs } from '../body-inputs.js';
import { causalGraphs, decodingCache } from '../causal.js';
import type { ModelConfig } from '../config.js';
import type { ModelBody, ModelGraphs, ParameterSpec } from '../model.js';
import { norm, outputParameters, span, table } from '../parameters.js';
import { type LayerNames, layerParameters } from '../transformer-layer.js';

/** The activation of a GPT-2 as published. */
export const gptActivation = 'geluTanh';

/** GPT-2's Conv1D matrices are [inputs, outputs], as ours. */
const layerNames = (layer: number): LayerNames => {
  const at = `transformer.h.${layer}`;
  return {
    qkv: [`${at}.attn.c_attn`],
    attentionOutput: `${at}.attn.c_proj`,
    attentionNorm: `${at}.ln_1`,
    up: `${at}.mlp.c_fc`,
    down: `${at}.mlp.c_proj`,
    ffnNorm: `${at}.ln_2`,
    transposed: false,
  };
};

/**
 * The two projections onto the residual stream start at initStd / sqrt(2 L), with L the final number of layers, regardless of the
 * depth of the stage.
 */
function bodyParameters(config: ModelConfig, trainedLayers: number): ParameterSpec[] {
  const { layers, hidden, vocabSize, maxPositions, initStd } = config;
  const stream = span('hidden', hidden);
  const residualStd = initStd / Math.sqrt(2 * layers);
  const layer = (index: number) => layerParameters(config, index, { residualStd, names: layerNames(index) });
  return [
    table('embeddings.word', span('vocab', vocabSize), stream, initStd, { foreign: 'transformer.wte.weight' }),
    table('embeddings.position', span('positions', maxPositions), stream, initStd, {
      foreign: 'transformer.wpe.weight',
    }),
    ...Array.from({ length: trainedLayers }, (_, index) => layer(index)).flat(),
    ...norm('final.norm', stream, { use: 'headNorm', foreign: ['transformer.ln_f'] }),
  ];
}

/** Embeddings, layers and the final norm: [B, T] tokens -> [B, T, C]. */
function gptBody(config: ModelConfig): ModelBody {
  const { hidden, vocabSize, maxPositions } = config;
  return {
    parameters: (trainedLayers) => bodyParameters(config, trainedLayers),
    trace(graph, weights, batch, options) {
      const { tokens, stack } = bodyInputs(graph, config, batch, options);
      const cache = decodingCache(graph, config, batch, options);

      const positions = cache?.first ? undefined : cache?.positions;
      const summed = tokenEmbeddings(tokens, weights, { vocabSize, hidden, maxPositions }, undefined, positions);
      const p = options.training ? (config.embeddingDropout ?? config.dropout) : 0;
      return preNormStack(dropout(summed, p), weights, 'final.norm', {
        ...stack,
        causal: true,
        activation: config.activation ?? gptActivation,
        cache,
      });
    },
  };
}

/** The graphs of a GPT-2 of this configuration, which is valid. */
export function gptGraphs(config: ModelConfig): ModelGraphs {
  return causalGraphs(config, gptBody(config), outputParameters(config, 'lm_head.weight'));
}
