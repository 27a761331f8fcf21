/** Hugging Face's config.json of BERT and GPT-2, to and from our model configuration. */
import { ApolloError } from '../errors.js';
import { activationOf, type ModelConfig } from '../models/config.js';
import type { Activation } from '../nn/layers.js';

type Json = Readonly<Record<string, unknown>>;

/**
 * Names of activations that our models compute, as ACT2FN of transformers has them. "gelu_python" is the exact GELU written
 * out; "gelu_fast" and "gelu_accurate" are the tanh form in other words.
 */
const activations: Readonly<Record<string, Activation>> = {
  gelu: 'gelu',
  gelu_python: 'gelu',
  gelu_new: 'geluTanh',
  gelu_pytorch_tanh: 'geluTanh',
  gelu_fast: 'geluTanh',
  gelu_accurate: 'geluTanh',
  relu: 'relu',
  silu: 'silu',
  swish: 'silu',
};

/** The name under which each is written. */
const activationNames: Readonly<Record<Activation, string>> = {
  gelu: 'gelu',
  geluTanh: 'gelu_new',
  relu: 'relu',
  silu: 'silu',
};

/** Settings that would change the arithmetic; only these values are what our models compute. */
const required: Readonly<Record<string, Readonly<Record<string, readonly unknown[]>>>> = {
  bert: {
    position_embedding_type: ['absolute'],
    is_decoder: [false],
    add_cross_attention: [false],
    quantization_config: [],
  },
  gpt2: {
    scale_attn_weights: [true],
    scale_attn_by_inverse_layer_idx: [false],
    add_cross_attention: [false],
    quantization_config: [],
  },
};

/**
 * Our configuration of a Hugging Face model. Fields that are missing take Hugging Face's defaults where they do not
 * decide sizes. The result is validated where a model is made of it.
 * @throws ApolloError BAD_CHECKPOINT for another architecture, or a setting our models do not compute.
 */
export function configFromHuggingFace(json: Json, source = 'config.json'): ModelConfig {
  const reject = (message: string): never => {
    throw new ApolloError('BAD_CHECKPOINT', `${source}: ${message}`);
  };
  const type = String(json.model_type);
  const checks = Object.hasOwn(required, type) ? required[type] : undefined;
  if (!checks) return reject(`model_type is ${JSON.stringify(json.model_type)}; only "bert" and "gpt2" can be read.`);
  for (const [key, allowed] of Object.entries(checks)) {
    if (json[key] !== undefined && json[key] !== null && !allowed.includes(json[key])) {
      const supported = allowed.length > 0 ? allowed.map((each) => JSON.stringify(each)).join(', ') : 'none';
      reject(`${key} is ${JSON.stringify(json[key])}; supported: ${supported}.`);
    }
  }
  const number = (key: string, fallback?: number): number => {
    const value = json[key] ?? fallback;
    return typeof value === 'number' ? value : reject(`${key} must be a number; got ${JSON.stringify(json[key])}.`);
  };
  /** What differs from the models as published; fields that do not are left out, as in configurations made here. */
  const differing = (kind: ModelConfig['kind'], key: string) => {
    const name = json[key] ?? undefined;
    const activation = name === undefined ? activationOf({ kind }) : activationNamed(name);
    if (!activation) {
      return reject(`${key} is ${JSON.stringify(name)}; supported: ${Object.keys(activations).join(', ')}.`);
    }
    return {
      ...(activation !== activationOf({ kind }) && { activation }),
      ...(json.tie_word_embeddings === false && { tied: false }),
    };
  };
  if (type === 'gpt2') {
    const dropout = number('resid_pdrop', 0.1);
    const embeddingDropout = number('embd_pdrop', 0.1);
    return {
      kind: 'gpt',
      layers: number('n_layer'),
      hidden: number('n_embd'),
      heads: number('n_head'),
      ffn: number('n_inner', 4 * number('n_embd')),
      vocab: number('vocab_size'),
      maxPositions: number('n_positions'),
      dropout,
      attentionDropout: number('attn_pdrop', 0.1),
      epsilon: number('layer_norm_epsilon', 1e-5),
      initStd: number('initializer_range', 0.02),
      ...(embeddingDropout !== dropout && { embeddingDropout }),
      ...differing('gpt', 'activation_function'),
    };
  }
  return {
    kind: 'bert',
    layers: number('num_hidden_layers'),
    hidden: number('hidden_size'),
    heads: number('num_attention_heads'),
    ffn: number('intermediate_size'),
    vocab: number('vocab_size'),
    maxPositions: number('max_position_embeddings'),
    dropout: number('hidden_dropout_prob', 0.1),
    attentionDropout: number('attention_probs_dropout_prob', 0.1),
    epsilon: number('layer_norm_eps', 1e-12),
    initStd: number('initializer_range', 0.02),
    typeVocab: number('type_vocab_size', 2),
    ...(json.pad_token_id === null ? {} : { padTokenId: number('pad_token_id', 0) }),
    ...differing('bert', 'hidden_act'),
  };
}

function activationNamed(name: unknown): Activation | undefined {
  return typeof name === 'string' && Object.hasOwn(activations, name) ? activations[name] : undefined;
}

/** The config.json with which Hugging Face's BertForMaskedLM or GPT2LMHeadModel computes what our model computes. */
export function configToHuggingFace(config: ModelConfig): Json {
  const { kind, layers, hidden, heads, ffn, vocab, maxPositions, dropout, attentionDropout, epsilon, initStd } = config;
  const activation = activationNames[activationOf(config)];
  const tied = config.tied !== false;
  if (kind === 'gpt') {
    return {
      architectures: ['GPT2LMHeadModel'],
      model_type: 'gpt2',
      activation_function: activation,
      n_layer: layers,
      n_embd: hidden,
      n_head: heads,
      n_inner: ffn,
      vocab_size: vocab,
      n_positions: maxPositions,
      resid_pdrop: dropout,
      embd_pdrop: config.embeddingDropout ?? dropout,
      attn_pdrop: attentionDropout,
      layer_norm_epsilon: epsilon,
      initializer_range: initStd,
      tie_word_embeddings: tied,
    };
  }
  return {
    architectures: ['BertForMaskedLM'],
    model_type: 'bert',
    hidden_act: activation,
    num_hidden_layers: layers,
    hidden_size: hidden,
    num_attention_heads: heads,
    intermediate_size: ffn,
    vocab_size: vocab,
    max_position_embeddings: maxPositions,
    hidden_dropout_prob: dropout,
    attention_probs_dropout_prob: attentionDropout,
    layer_norm_eps: epsilon,
    initializer_range: initStd,
    type_vocab_size: config.typeVocab,
    pad_token_id: config.padTokenId ?? null,
    tie_word_embeddings: tied,
  };
}
