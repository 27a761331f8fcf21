/** GPT-2 in Hugging Face folders: GPT2LMHeadModel. The names of its parameters are in model.ts. */
import type { HuggingFaceFamily } from '../family.js';
import { activationNames } from '../foreign-config.js';
import { gptActivation } from './model.js';

export const gptHuggingFace: HuggingFaceFamily = {
  modelTypes: ['gpt2'],
  classesOf: () => ({ modelType: 'gpt2', languageModel: 'GPT2LMHeadModel', taskPrefix: 'GPT2' }),
  supported: {
    scale_attn_weights: [true],
    scale_attn_by_inverse_layer_idx: [false],
    add_cross_attention: [false],
    quantization_config: [],
  },
  readConfig(json) {
    const dropout = json.number('resid_pdrop', 0.1);
    const embeddingDropout = json.number('embd_pdrop', 0.1);
    return {
      kind: 'gpt',
      layers: json.number('n_layer'),
      hidden: json.number('n_embd'),
      heads: json.number('n_head'),
      ffn: json.number('n_inner', 4 * json.number('n_embd')),
      vocabSize: json.number('vocab_size'),
      maxPositions: json.number('n_positions'),
      dropout,
      attentionDropout: json.number('attn_pdrop', 0.1),
      epsilon: json.number('layer_norm_epsilon', 1e-5),
      initStd: json.number('initializer_range', 0.02),
      ...(embeddingDropout !== dropout && { embeddingDropout }),
      ...json.differing('activation_function', gptActivation),
    };
  },
  writeConfig: (config) => ({
    activation_function: activationNames[config.activation ?? gptActivation],
    n_layer: config.layers,
    n_embd: config.hidden,
    n_head: config.heads,
    n_inner: config.ffn,
    vocab_size: config.vocabSize,
    n_positions: config.maxPositions,
    resid_pdrop: config.dropout,
    embd_pdrop: config.embeddingDropout ?? config.dropout,
    attn_pdrop: config.attentionDropout,
    layer_norm_epsilon: config.epsilon,
    initializer_range: config.initStd,
    tie_word_embeddings: config.tied !== false,
  }),
  prefix: 'transformer.',
  tied: [{ name: 'transformer.wte.weight', other: 'lm_head.weight' }],
  // Masks that older versions kept as buffers.
  ignored: /\.attn\.(masked_)?bias$/,
  heads: { classifier: 'score', spans: 'qa_outputs' },
};
