/** BERT in Hugging Face folders: BertForMaskedLM. The names of its parameters are in model.ts. */
import type { HuggingFaceFamily } from '../family.js';
import { activationNames } from '../foreign-config.js';
import { bertActivation } from './model.js';

export const bertHuggingFace: HuggingFaceFamily = {
  modelTypes: ['bert'],
  classesOf: () => ({ modelType: 'bert', languageModel: 'BertForMaskedLM', taskPrefix: 'Bert' }),
  supported: {
    position_embedding_type: ['absolute'],
    is_decoder: [false],
    add_cross_attention: [false],
    quantization_config: [],
  },
  readConfig: (json) => ({
    kind: 'bert',
    layers: json.number('num_hidden_layers'),
    hidden: json.number('hidden_size'),
    heads: json.number('num_attention_heads'),
    ffn: json.number('intermediate_size'),
    vocabSize: json.number('vocab_size'),
    maxPositions: json.number('max_position_embeddings'),
    dropout: json.number('hidden_dropout_prob', 0.1),
    attentionDropout: json.number('attention_probs_dropout_prob', 0.1),
    epsilon: json.number('layer_norm_eps', 1e-12),
    initStd: json.number('initializer_range', 0.02),
    typeVocab: json.number('type_vocab_size', 2),
    ...(json.json['pad_token_id'] === null ? {} : { padTokenId: json.number('pad_token_id', 0) }),
    ...json.differing('hidden_act', bertActivation),
  }),
  writeConfig: (config) => ({
    hidden_act: activationNames[config.activation ?? bertActivation],
    num_hidden_layers: config.layers,
    hidden_size: config.hidden,
    num_attention_heads: config.heads,
    intermediate_size: config.ffn,
    vocab_size: config.vocabSize,
    max_position_embeddings: config.maxPositions,
    hidden_dropout_prob: config.dropout,
    attention_probs_dropout_prob: config.attentionDropout,
    layer_norm_eps: config.epsilon,
    initializer_range: config.initStd,
    type_vocab_size: config.typeVocab,
    pad_token_id: config.padTokenId ?? null,
    tie_word_embeddings: config.tied !== false,
  }),
  prefix: 'bert.',
  tied: [
    { name: 'bert.embeddings.word_embeddings.weight', other: 'cls.predictions.decoder.weight' },
    // The decoder adds its own bias; `cls.predictions.bias` is the same tensor, or what an older file has in its place.
    { name: 'cls.predictions.bias', other: 'cls.predictions.decoder.bias', prefersOther: true },
  ],
  // Pooler, next-sentence head, buffers of older versions, second names of tied tensors.
  ignored: /^(bert\.)?pooler\.|^cls\.seq_relationship\.|(^|\.)position_ids$|^cls\.predictions\.bias$/,
  heads: { pooler: 'bert.pooler.dense', classifier: 'classifier', spans: 'qa_outputs' },
};
