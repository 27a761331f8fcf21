/**
 * Named model structures: the paper's Table 5 (small, base, large) and two sizes for machines without an accelerator
 * (mini, nano), all with heads of 64.
 */
import { ApolloError } from '../errors.js';
import * as is from '../is.js';
import { type ModelConfig, withDefaults } from './config.js';

/** kind, layers, hidden, vocabulary, positions. */
const rows = {
  'bert-small': ['bert', 12, 512, 30522, 512],
  'bert-base': ['bert', 12, 768, 30522, 512],
  'bert-large': ['bert', 24, 1024, 30522, 512],
  'gpt-small': ['gpt', 12, 512, 50257, 1024],
  'gpt-base': ['gpt', 12, 768, 50257, 1024],
  'bert-mini': ['bert', 12, 256, 8192, 128],
  'gpt-mini': ['gpt', 12, 256, 8192, 128],
  'bert-nano': ['bert', 12, 128, 8192, 128],
  'gpt-nano': ['gpt', 12, 128, 8192, 128],
} as const;

export type PresetName = keyof typeof rows;

export const presetNames = Object.keys(rows) as PresetName[];

const size = is.optional(is.anyNumber);
const changes = {
  layers: size,
  hidden: size,
  heads: size,
  ffn: size,
  vocab: size,
  maxPositions: size,
  dropout: size,
  attentionDropout: size,
  epsilon: size,
  initStd: size,
  typeVocab: size,
  padTokenId: size,
  embeddingDropout: size,
  activation: is.optional(is.string),
  tied: is.optional(is.boolean),
};

const takesPreset = is.takes('preset', { name: is.string, changes: is.options(changes) });

/**
 * The configuration called `name`, with some fields changed.
 * ```ts
 * preset('bert-nano', { vocab: 4096, dropout: 0 });
 * ```
 * @throws ApolloError BAD_CONFIG for an unknown name or fields that do not fit together.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function preset(name: string, changes: Partial<Omit<ModelConfig, 'kind'>> = {}): ModelConfig {
  takesPreset(name, changes);

  if (!Object.hasOwn(rows, name)) {
    throw new ApolloError('BAD_CONFIG', `There is no model preset "${name}". Known: ${presetNames.join(', ')}.`);
  }
  const [kind, layers, hidden, vocab, maxPositions] = rows[name as PresetName];
  return withDefaults({ kind, layers, hidden, vocab, maxPositions, ...changes });
}
