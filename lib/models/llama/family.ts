/** Llama as a model family. */
import { causalHeadFlops } from '../causal.js';
import type { ModelConfig } from '../config.js';
import { dividesHidden, flag, headsOf64, optional, whole } from '../config-rules.js';
import type { ModelFamily } from '../family.js';
import { headSizeOf, keyValueHeadsOf } from '../heads.js';
import { attentionFlops } from '../transformer-layer.js';
import { llamaHuggingFace } from './hugging-face.js';
import { defaultRopeTheta, llamaGraphs } from './model.js';

/** About 8/3 of the hidden size, which makes the three matrices as large as two of four times it, in multiples of 64. */
const usualFfn = (hidden: number): number => 64 * Math.ceil(hidden / 24);

const isPositive = (value: unknown): value is number => Number.isFinite(value) && (value as number) > 0;

/** The numbers of each kind of scaling. */
const scalingNumbers: ReadonlyMap<unknown, readonly string[]> = new Map([
  ['linear', ['factor']],
  ['llama3', ['factor', 'lowFrequencyFactor', 'highFrequencyFactor', 'originalPositions']],
]);

function isScaling(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { type, ...numbers } = value as Readonly<Record<string, unknown>>;
  const names = scalingNumbers.get(type);
  if (!names || Object.keys(numbers).length !== names.length || !names.every((name) => isPositive(numbers[name]))) {
    return false;
  }
  return type !== 'llama3' || (numbers['lowFrequencyFactor'] as number) < (numbers['highFrequencyFactor'] as number);
}

function layerFlops(config: ModelConfig, seq: number, options = {}): number {
  const { hidden, heads, ffn } = config;
  const headSize = headSizeOf(config);
  const projections = 4 * hidden * headSize * (heads + keyValueHeadsOf(config));
  return projections + 6 * hidden * ffn + attentionFlops(heads * headSize, seq, options);
}

export const llamaFamily: ModelFamily = {
  kind: 'llama',
  title: 'Llama',
  objective: 'causal',
  norm: 'pre',
  hasTypes: false,
  activations: ['silu'],
  defaults: ({ hidden }) => ({
    ...headsOf64(hidden),
    ffn: usualFfn(hidden),
    dropout: 0,
    attentionDropout: 0,
    epsilon: 1e-5,
  }),
  fields: {
    keyValueHeads: {
      expected: ({ heads }) => `a whole number that divides the ${heads} heads, or left out`,
      holds: optional((value, { heads }) => whole(value) && heads % value === 0),
      structure: keyValueHeadsOf,
    },
    headSize: {
      expected: () => 'an even whole number, since rotary positions turn pairs, or left out',
      holds: optional((value) => whole(value) && value % 2 === 0),
      structure: headSizeOf,
    },
    ropeTheta: {
      expected: () => 'a positive number or left out',
      holds: optional(isPositive),
      structure: ({ ropeTheta }) => ropeTheta ?? defaultRopeTheta,
    },
    ropeScaling: {
      expected: () =>
        '{ type: "linear", factor }, { type: "llama3", factor, lowFrequencyFactor < highFrequencyFactor, originalPositions } or left out',
      holds: optional(isScaling),
      structure: ({ ropeScaling }) => ropeScaling,
    },
    attentionBias: {
      expected: () => '"none", "qkv", "all" or left out',
      holds: optional((value) => ['none', 'qkv', 'all'].includes(value as string)),
      structure: ({ attentionBias = 'none' }) => attentionBias,
    },
    ffnBias: { ...flag, structure: ({ ffnBias = false }) => ffnBias },
    queryKeyNorms: { ...flag, structure: ({ queryKeyNorms = false }) => queryKeyNorms },
  },
  check(config, expect) {
    dividesHidden(config, expect);
    const { hidden, heads, headSize } = config;
    expect(
      headSize !== undefined || (hidden / heads) % 2 === 0,
      `heads must divide hidden (${hidden}) into heads of an even size, since rotary positions turn pairs; got ${heads}. Or give headSize.`,
    );
  },
  presets: {
    'llama-nano': { layers: 12, hidden: 128, keyValueHeads: 1, vocabSize: 8192, maxPositions: 128 },
    'llama-mini': { layers: 12, hidden: 256, keyValueHeads: 2, vocabSize: 8192, maxPositions: 128 },
    // SmolLM 135M (Allal et al. 2024).
    'smollm-135m': { layers: 30, hidden: 576, keyValueHeads: 3, ffn: 1536, vocabSize: 49152, maxPositions: 2048 },
    // The shape of Llama 3.2 1B, with the context at which such models are pre-trained.
    'llama-1b': {
      layers: 16,
      hidden: 2048,
      keyValueHeads: 8,
      ffn: 8192,
      vocabSize: 128256,
      maxPositions: 2048,
      ropeTheta: 500_000,
    },
  },
  create: llamaGraphs,
  layerFlops,
  headFlops: causalHeadFlops,
  huggingFace: llamaHuggingFace,
};
