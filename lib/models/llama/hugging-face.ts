/**
 * Llama in Hugging Face folders: LlamaForCausalLM, and models of other names with its arithmetic (Mistral without a sliding
 * window, Qwen2). The names of the parameters are in model.ts.
 */
import type { RotaryScaling } from '../../engine/ops/index.js';
import type { ModelConfig } from '../config.js';
import type { HuggingFaceFamily } from '../family.js';
import type { ForeignConfig, ForeignJson } from '../foreign-config.js';
import { headSizeOf, keyValueHeadsOf } from '../heads.js';
import { defaultRopeTheta } from './model.js';

type RopeJson = { readonly [key: string]: unknown };

/** From version 5 on `rope_parameters`; before `rope_theta` and `rope_scaling`, whose kind is `type` in the oldest. */
function readRope(json: ForeignConfig): Pick<ModelConfig, 'ropeTheta' | 'ropeScaling'> {
  const { rope_parameters: now, rope_scaling: before } = json.json as { readonly [key: string]: RopeJson | null };
  const rope = now ?? before ?? {};
  const theta = rope['rope_theta'] ?? json.number('rope_theta', defaultRopeTheta);
  const number = (key: string): number => {
    const value = rope[key];
    return typeof value === 'number'
      ? value
      : json.reject(`rope_scaling.${key} must be a number; got ${String(value)}.`);
  };
  if (typeof theta !== 'number') return json.reject(`rope_theta must be a number; got ${JSON.stringify(theta)}.`);
  const type = rope['rope_type'] ?? rope['type'] ?? 'default';
  switch (type) {
    case 'default':
      return { ropeTheta: theta };
    case 'linear':
      return { ropeTheta: theta, ropeScaling: { type: 'linear', factor: number('factor') } };
    case 'llama3':
      return {
        ropeTheta: theta,
        ropeScaling: {
          type: 'llama3',
          factor: number('factor'),
          lowFrequencyFactor: number('low_freq_factor'),
          highFrequencyFactor: number('high_freq_factor'),
          originalPositions: number('original_max_position_embeddings'),
        },
      };
    default:
      return json.reject(`rope_type is ${JSON.stringify(type)}; supported: "default", "linear", "llama3".`);
  }
}

function writeRope({ ropeTheta = defaultRopeTheta, ropeScaling }: ModelConfig): ForeignJson {
  const scaling = ropeScaling && foreignScaling(ropeScaling);
  return {
    rope_theta: ropeTheta,
    rope_scaling: scaling ?? null,
    rope_parameters: { rope_type: 'default', ...scaling, rope_theta: ropeTheta },
  };
}

function foreignScaling(scaling: RotaryScaling): ForeignJson {
  const { type, factor } = scaling;
  if (type === 'linear') return { rope_type: type, factor };
  return {
    rope_type: type,
    factor,
    low_freq_factor: scaling.lowFrequencyFactor,
    high_freq_factor: scaling.highFrequencyFactor,
    original_max_position_embeddings: scaling.originalPositions,
  };
}

/** Fields that are left out where they are what leaving them out means, as in configurations made here. */
function readHeads(json: ForeignConfig): Pick<ModelConfig, 'hidden' | 'heads' | 'keyValueHeads' | 'headSize'> {
  const [hidden, heads] = [json.number('hidden_size'), json.number('num_attention_heads')];
  const keyValueHeads = json.number('num_key_value_heads', heads);
  const headSize = json.number('head_dim', hidden / heads);
  return {
    hidden,
    heads,
    ...(keyValueHeads !== heads && { keyValueHeads }),
    ...(headSize !== hidden / heads && { headSize }),
  };
}

function readBiases({ json }: ForeignConfig, qkv: boolean): Pick<ModelConfig, 'attentionBias' | 'ffnBias'> {
  const attentionBias = json['attention_bias'] === true ? 'all' : qkv ? 'qkv' : 'none';
  return {
    ...(attentionBias !== 'none' && { attentionBias }),
    ...(json['mlp_bias'] === true && { ffnBias: true }),
  };
}

/** A window over which attention does not reach, where it is in use. */
function checkWindow(json: ForeignConfig): void {
  const { sliding_window: window, use_sliding_window: inUse = true } = json.json;
  if (typeof window === 'number' && inUse !== false) {
    json.reject(`sliding_window is ${window}; only attention to all earlier tokens is computed (null).`);
  }
}

/** Biases of queries, keys and values alone are Qwen2's, whose other arithmetic is the same. */
function writeBiases({ attentionBias = 'none', ffnBias = false }: ModelConfig): ForeignJson {
  if (attentionBias === 'qkv')
    return { architectures: ['Qwen2ForCausalLM'], model_type: 'qwen2', use_sliding_window: false };
  return { attention_bias: attentionBias === 'all', mlp_bias: ffnBias };
}

export const llamaHuggingFace: HuggingFaceFamily = {
  modelType: 'llama',
  alike: ['mistral', 'qwen2'],
  supported: { hidden_act: ['silu', 'swish'], quantization_config: [], pretraining_tp: [1] },
  readConfig(json) {
    checkWindow(json);
    return {
      kind: 'llama',
      layers: json.number('num_hidden_layers'),
      ...readHeads(json),
      ffn: json.number('intermediate_size'),
      vocab: json.number('vocab_size'),
      maxPositions: json.number('max_position_embeddings', 2048),
      dropout: 0,
      attentionDropout: json.number('attention_dropout', 0),
      epsilon: json.number('rms_norm_eps', 1e-6),
      initStd: json.number('initializer_range', 0.02),
      ...readRope(json),
      ...readBiases(json, json.json['model_type'] === 'qwen2'),
      ...(json.json['tie_word_embeddings'] !== true && { tied: false }),
    };
  },
  writeConfig: (config) => ({
    hidden_act: 'silu',
    num_hidden_layers: config.layers,
    hidden_size: config.hidden,
    num_attention_heads: config.heads,
    num_key_value_heads: keyValueHeadsOf(config),
    head_dim: headSizeOf(config),
    intermediate_size: config.ffn,
    vocab_size: config.vocab,
    max_position_embeddings: config.maxPositions,
    attention_dropout: config.attentionDropout,
    rms_norm_eps: config.epsilon,
    initializer_range: config.initStd,
    ...writeRope(config),
    ...writeBiases(config),
    tie_word_embeddings: config.tied !== false,
  }),
  prefix: 'model.',
  tied: [{ name: 'model.embed_tokens.weight', other: 'lm_head.weight' }],
  // Buffers that older versions kept.
  ignored: /\.rotary_emb\.inv_freq$/,
  languageModelClass: 'LlamaForCausalLM',
  taskClassPrefix: 'Llama',
  heads: { classifier: 'score', spans: 'qa_outputs' },
};
