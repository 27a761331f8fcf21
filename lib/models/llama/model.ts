/**
 * Llama (Touvron et al. 2023, arXiv 2302.13971; version 3: arXiv 2407.21783), arithmetic as in Hugging Face's
 * LlamaForCausalLM: pre-norm layers with RMS norms, rotary positions, grouped key/value heads, a SwiGLU feed-forward part,
 * no biases unless the configuration says otherwise.
 */
import { dropout, embedding, rotaryFrequencies } from '../../engine/ops/index.js';
import { preNormStack } from '../../nn/transformer.js';
import { bodyInputs } from '../body-inputs.js';
import { causalGraphs, decodingCache } from '../causal.js';
import type { ModelConfig } from '../config.js';
import { headSizeOf, keyValueHeadsOf } from '../heads.js';
import type { ModelBody, ModelGraphs, ParameterSpec } from '../model.js';
import { linear, norm, outputParameters, span, table } from '../parameters.js';

export const defaultRopeTheta = 10_000;

/** Which linear layers have biases. */
const biasesOf = ({ attentionBias = 'none', ffnBias = false }: ModelConfig) => ({
  qkv: attentionBias !== 'none',
  attentionOutput: attentionBias === 'all',
  ffn: ffnBias,
});

function layerParameters(config: ModelConfig, layer: number): ParameterSpec[] {
  const { hidden, heads, ffn, initStd, queryKeyNorms } = config;
  const [headSize, keyValueHeads] = [headSizeOf(config), keyValueHeadsOf(config)];
  const biases = biasesOf(config);
  const [stream, inHead] = [span('hidden', hidden), span('headSize', headSize)];
  const query = span('heads', heads * headSize, 'attention.query');
  const [key, value] = ['key', 'value'].map((name) =>
    span('keyValueHeads', keyValueHeads * headSize, `attention.${name}`),
  ) as [ReturnType<typeof span>, ReturnType<typeof span>];
  const mixed = span('heads', heads * headSize, 'attention.value');
  const [gate, up] = [span('ffn', ffn, 'ffn.gate'), span('ffn', ffn, 'ffn.up')];
  const names = (...modules: string[]) => modules.map((module) => `model.layers.${layer}.${module}`);
  const inLayer = { layer, transposed: true };
  return [
    ...linear('attention.qkv', stream, [query, key, value], initStd, {
      ...inLayer,
      bias: biases.qkv,
      foreign: names('self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'),
    }),
    ...(queryKeyNorms
      ? [
          ...norm('attention.queryNorm', inHead, { layer, bias: false, foreign: names('self_attn.q_norm') }),
          ...norm('attention.keyNorm', inHead, { layer, bias: false, foreign: names('self_attn.k_norm') }),
        ]
      : []),
    ...linear('attention.output', mixed, [stream], initStd, {
      ...inLayer,
      use: 'branchOutput',
      bias: biases.attentionOutput,
      foreign: names('self_attn.o_proj'),
    }),
    ...norm('attention.norm', stream, { layer, bias: false, foreign: names('input_layernorm') }),
    ...linear('ffn.up', stream, [gate, up], initStd, {
      ...inLayer,
      bias: biases.ffn,
      foreign: names('mlp.gate_proj', 'mlp.up_proj'),
    }),
    ...linear('ffn.down', up, [stream], initStd, {
      ...inLayer,
      use: 'branchOutput',
      bias: biases.ffn,
      foreign: names('mlp.down_proj'),
    }),
    ...norm('ffn.norm', stream, { layer, bias: false, foreign: names('post_attention_layernorm') }),
  ];
}

function bodyParameters(config: ModelConfig, trainedLayers: number): ParameterSpec[] {
  const { hidden, vocabSize, initStd } = config;
  const stream = span('hidden', hidden);
  return [
    table('embeddings.word', span('vocab', vocabSize), stream, initStd, { foreign: 'model.embed_tokens.weight' }),
    ...Array.from({ length: trainedLayers }, (_, layer) => layerParameters(config, layer)).flat(),
    ...norm('final.norm', stream, { use: 'headNorm', bias: false, foreign: ['model.norm'] }),
  ];
}

/** Embeddings, layers and the final norm: [B, T] tokens -> [B, T, C]. */
function llamaBody(config: ModelConfig): ModelBody {
  const { hidden, vocabSize, queryKeyNorms, ropeTheta = defaultRopeTheta, ropeScaling } = config;
  const headSize = headSizeOf(config);
  const frequencies = rotaryFrequencies(headSize, ropeTheta, ropeScaling);
  return {
    parameters: (trainedLayers) => bodyParameters(config, trainedLayers),
    trace(graph, weights, batch, options) {
      const { tokens, stack } = bodyInputs(graph, config, batch, options);
      const cache = decodingCache(graph, config, batch, options);

      const embedded = embedding(weights('embeddings.word', [vocabSize, hidden], 'matrix'), tokens);
      return preNormStack(dropout(embedded, stack.dropout), weights, 'final.norm', {
        ...stack,
        keyValueHeads: keyValueHeadsOf(config),
        headSize,
        queryKeyNorms,
        rotaryFrequencies: frequencies,
        norm: 'rms',
        gated: true,
        biases: biasesOf(config),
        causal: true,
        activation: 'silu',
        cache,
      });
    },
  };
}

/** The graphs of a Llama of this configuration, which is valid. */
export function llamaGraphs(config: ModelConfig): ModelGraphs {
  return causalGraphs(config, llamaBody(config), outputParameters(config, 'lm_head.weight'));
}
