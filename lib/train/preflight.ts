/** Checks of a run's settings that need no text. */
import { ApolloError } from '../errors.js';
import { familyOf, type ModelConfig } from '../models/index.js';
import { resolveConfig, type TrainConfig, type TrainOptions } from './config.js';

/** Fewest tokens of a row with something to predict, and which. */
const leastSequence = {
  causal: { tokens: 2, which: 'a token and the next one' },
  masked: { tokens: 3, which: '[CLS], a token to mask and [SEP]' },
} as const;

/**
 * The settings with their defaults, when a run of this model can have them.
 * @throws ApolloError BAD_CONFIG as resolveConfig, and for sequences that are longer than the model's positions or too
 * short to have a target.
 */
export function checkSettings(options: TrainOptions, model: ModelConfig): TrainConfig {
  const config = resolveConfig(options);
  checkSequence(config.seq, model);
  return config;
}

/** @throws ApolloError BAD_CONFIG for a length of sequences with which the model cannot be trained. */
export function checkSequence(seq: number, config: ModelConfig): void {
  const { maxPositions } = config;
  if (seq > maxPositions) {
    throw new ApolloError(
      'BAD_CONFIG',
      `train.seq: at most the model's ${maxPositions} positions; got ${seq}. Give a smaller --seq.`,
    );
  }
  const { title, objective } = familyOf(config);
  const { tokens, which } = leastSequence[objective];
  if (seq >= tokens) return;
  throw new ApolloError(
    'BAD_CONFIG',
    `train.seq: at least ${tokens} for a ${title} (${which}); got ${seq}, with which no row has anything to predict. Give a larger --seq.`,
  );
}
