/** BERT as a model family. */
import { dividesHidden, headsOf64, optional, paperDropout, whole } from '../config-rules.js';
import type { ModelFamily } from '../family.js';
import { transformerLayerFlops } from '../transformer-layer.js';
import { bertHuggingFace } from './hugging-face.js';
import { bertActivation, bertGraphs } from './model.js';

export const bertFamily: ModelFamily = {
  kind: 'bert',
  title: 'BERT',
  objective: 'masked',
  norm: 'post',
  hasTypes: true,
  activations: [bertActivation, 'geluTanh', 'relu', 'silu'],
  defaults: ({ hidden }) => ({ ...headsOf64(hidden), ...paperDropout, ffn: 4 * hidden, epsilon: 1e-12 }),
  fields: {
    typeVocab: {
      expected: () => 'a positive whole number (usually 2)',
      holds: whole,
      fill: () => 2,
      structure: ({ typeVocab }) => typeVocab,
    },
    padTokenId: {
      expected: ({ vocabSize }) => `a token of the vocabulary (0 to ${vocabSize - 1}) or left out`,
      holds: optional((value, { vocabSize }) => (value === 0 || whole(value)) && value < vocabSize),
      fill: () => 0,
    },
  },
  check: dividesHidden,
  presets: {
    'bert-small': { layers: 12, hidden: 512, vocabSize: 30522, maxPositions: 512 },
    'bert-base': { layers: 12, hidden: 768, vocabSize: 30522, maxPositions: 512 },
    'bert-large': { layers: 24, hidden: 1024, vocabSize: 30522, maxPositions: 512 },
    'bert-mini': { layers: 12, hidden: 256, vocabSize: 8192, maxPositions: 128 },
    'bert-nano': { layers: 12, hidden: 128, vocabSize: 8192, maxPositions: 128 },
  },
  create: bertGraphs,
  layerFlops: transformerLayerFlops,
  // The output matrix, and the transform before it.
  headFlops: ({ hidden, vocabSize }) => 2 * hidden * vocabSize + 2 * hidden * hidden,
  huggingFace: bertHuggingFace,
};
