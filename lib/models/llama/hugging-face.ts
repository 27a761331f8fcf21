/**
 * Llama in Hugging Face folders: LlamaForCausalLM, and models of other names with its arithmetic (Mistral without a sliding
 * window, Qwen2, Qwen3). The names of the parameters are in model.ts.
 */
import type { RotaryScaling } from '../../engine/ops/index.js';
import { ApolloError } from '../../errors.js';
import type { ModelConfig } from '../config.js';
import type { ForeignClasses, HuggingFaceFamily } from '../family.js';
import { ForeignConfig, type ForeignJson } from '../foreign-config.js';
import { headSizeOf, keyValueHeadsOf } from '../heads.js';
import { defaultRopeTheta } from './model.js';

/**
 * From version 5 on `rope_parameters`; before `rope_theta` and `rope_scaling`, which also version 5 prefers where it is there
 * and whose kind is `type` in the oldest.
 */
function readRope(json: ForeignConfig): Pick<ModelConfig, 'ropeTheta' | 'ropeScaling'> {
  const given = json.json['rope_scaling'] ?? json.json['rope_parameters'] ?? {};
  const rope = new ForeignConfig(given as ForeignJson, `${json.source}: rotary positions`);
  rope.check('partial_rotary_factor', [1]);
  const theta = rope.number('rope_theta', json.number('rope_theta', defaultRopeTheta));
  const ropeScaling = readScaling(rope, json);
  return { ...(theta !== defaultRopeTheta && { ropeTheta: theta }), ...(ropeScaling && { ropeScaling }) };
}

function readScaling(rope: ForeignConfig, json: ForeignConfig): RotaryScaling | undefined {
  const type = rope.json['rope_type'] ?? rope.json['type'] ?? 'default';
  switch (type) {
    case 'default':
      return undefined;
    case 'linear':
      return { type: 'linear', factor: rope.number('factor') };
    case 'llama3':
      return {
        type: 'llama3',
        factor: rope.number('factor'),
        lowFrequencyFactor: rope.number('low_freq_factor'),
        highFrequencyFactor: rope.number('high_freq_factor'),
        originalPositions: rope.number('original_max_position_embeddings', json.number('max_position_embeddings')),
      };
    default:
      return rope.reject(`rope_type is ${JSON.stringify(type)}; supported: "default", "linear", "llama3".`);
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
  const headSize = json.number('head_dim', json.json['model_type'] === 'qwen3' ? 128 : hidden / heads);
  return {
    hidden,
    heads,
    ...(keyValueHeads !== heads && { keyValueHeads }),
    ...(headSize !== hidden / heads && { headSize }),
  };
}

/** Additional properties of the model type's class, regardless of the settings of other types in config.json. */
function readOwn({ json }: ForeignConfig): Pick<ModelConfig, 'attentionBias' | 'ffnBias' | 'queryKeyNorms'> {
  const { model_type: type, attention_bias: attentionBias, mlp_bias: ffnBias } = json;
  const biases = attentionBias === true && ({ attentionBias: 'all' } as const);
  switch (type) {
    case 'mistral':
      return {};
    case 'qwen2':
      return { attentionBias: 'qkv' };
    case 'qwen3':
      return { ...biases, queryKeyNorms: true };
    default:
      return { ...biases, ...(ffnBias === true && { ffnBias: true }) };
  }
}

/** How far back attention reaches, as the class of the model type takes it from config.json; null: to the first token. */
function windowOf({ json }: ForeignConfig): unknown {
  const { model_type: type, sliding_window: window = 4096, use_sliding_window: inUse } = json;
  const slides = type === 'mistral' || ((type === 'qwen2' || type === 'qwen3') && inUse === true);
  return slides ? window : null;
}

function checkWindow(json: ForeignConfig, maxPositions: number): void {
  const window = windowOf(json);
  if (window === null || (typeof window === 'number' && window >= maxPositions)) return;
  json.reject(
    `sliding_window is ${JSON.stringify(window)}; supported: null, or at least the ${maxPositions} positions of the model.`,
  );
}

type ModelType = 'llama' | 'qwen2' | 'qwen3';

/** That of the class with these biases and norms; undefined where there is none. */
function modelTypeOf({ attentionBias, ffnBias = false, queryKeyNorms = false }: ModelConfig): ModelType | undefined {
  const ofQwen2 = attentionBias === 'qkv';
  if (!queryKeyNorms && !ofQwen2) return 'llama';
  if (ffnBias || (queryKeyNorms && ofQwen2)) return undefined;
  return queryKeyNorms ? 'qwen3' : 'qwen2';
}

function classesOf(config: ModelConfig): ForeignClasses {
  const modelType = modelTypeOf(config);
  if (!modelType) {
    throw new ApolloError(
      'BAD_ARGUMENT',
      "No class of Hugging Face's library has the biases and norms of this model (model.attentionBias, model.ffnBias, " +
        'model.queryKeyNorms).',
    );
  }
  const taskPrefix = { llama: 'Llama', qwen2: 'Qwen2', qwen3: 'Qwen3' }[modelType];
  return { modelType, languageModel: `${taskPrefix}ForCausalLM`, taskPrefix };
}

/** The settings that the class has besides. */
function writeOwn(config: ModelConfig): ForeignJson {
  const { attentionBias = 'none', ffnBias = false } = config;
  const biases = { attention_bias: attentionBias === 'all' };
  switch (modelTypeOf(config)) {
    case 'qwen2':
      return { use_sliding_window: false };
    case 'qwen3':
      return { ...biases, use_sliding_window: false };
    default:
      return { ...biases, mlp_bias: ffnBias };
  }
}

export const llamaHuggingFace: HuggingFaceFamily = {
  modelTypes: ['llama', 'mistral', 'qwen2', 'qwen3'],
  classesOf,
  supported: {
    hidden_act: ['silu', 'swish'],
    quantization_config: [],
    pretraining_tp: [1],
    partial_rotary_factor: [1],
  },
  readConfig(json) {
    const maxPositions = json.number('max_position_embeddings', 2048);
    checkWindow(json, maxPositions);
    return {
      kind: 'llama',
      layers: json.number('num_hidden_layers'),
      ...readHeads(json),
      ffn: json.number('intermediate_size'),
      vocabSize: json.number('vocab_size'),
      maxPositions,
      dropout: 0,
      attentionDropout: json.number('attention_dropout', 0),
      epsilon: json.number('rms_norm_eps', 1e-6),
      initStd: json.number('initializer_range', 0.02),
      ...readRope(json),
      ...readOwn(json),
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
    vocab_size: config.vocabSize,
    max_position_embeddings: config.maxPositions,
    attention_dropout: config.attentionDropout,
    rms_norm_eps: config.epsilon,
    initializer_range: config.initStd,
    ...writeRope(config),
    ...writeOwn(config),
    tie_word_embeddings: config.tied !== false,
  }),
  prefix: 'model.',
  tied: [{ name: 'model.embed_tokens.weight', other: 'lm_head.weight' }],
  // Buffers that older versions kept.
  ignored: /\.rotary_emb\.inv_freq$/,
  heads: { classifier: 'score', spans: 'qa_outputs', spansPrefix: 'transformer.' },
};
