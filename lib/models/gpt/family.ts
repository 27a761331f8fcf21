/** GPT-2 as a model family. */
import { causalHeadFlops } from '../causal.js';
import { dividesHidden, headsOf64, paperDropout, probability } from '../config-rules.js';
import type { ModelFamily } from '../family.js';
import { transformerLayerFlops } from '../transformer-layer.js';
import { gptHuggingFace } from './hugging-face.js';
import { gptActivation, gptGraphs } from './model.js';

export const gptFamily: ModelFamily = {
  kind: 'gpt',
  title: 'GPT',
  objective: 'causal',
  norm: 'pre',
  hasTypes: false,
  activations: [gptActivation, 'gelu', 'relu', 'silu'],
  defaults: ({ hidden }) => ({ ...headsOf64(hidden), ...paperDropout, ffn: 4 * hidden, epsilon: 1e-5 }),
  fields: { embeddingDropout: probability },
  check: dividesHidden,
  presets: {
    'gpt-small': { layers: 12, hidden: 512, vocabSize: 50257, maxPositions: 1024 },
    'gpt-base': { layers: 12, hidden: 768, vocabSize: 50257, maxPositions: 1024 },
    'gpt-mini': { layers: 12, hidden: 256, vocabSize: 8192, maxPositions: 128 },
    'gpt-nano': { layers: 12, hidden: 128, vocabSize: 8192, maxPositions: 128 },
  },
  create: gptGraphs,
  layerFlops: transformerLayerFlops,
  headFlops: causalHeadFlops,
  huggingFace: gptHuggingFace,
};
