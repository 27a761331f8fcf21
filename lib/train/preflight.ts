/** What can be told of a run's settings before any text is read. */
import { ApolloError } from '../errors.js';
import type { ModelConfig } from '../models/index.js';
import { resolveConfig, type TrainConfig, type TrainOptions } from './config.js';

/** Fewest tokens of a row with something to predict: a token and its next one; [CLS], a token and [SEP]. */
const leastSequence = { gpt: 2, bert: 3 } as const;

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
export function checkSequence(seq: number, { kind, maxPositions }: ModelConfig): void {
  if (seq > maxPositions) {
    throw new ApolloError(
      'BAD_CONFIG',
      `train.seq: at most the model's ${maxPositions} positions; got ${seq}. Give a smaller --seq.`,
    );
  }
  const least = leastSequence[kind];
  if (seq >= least) return;
  const why = kind === 'gpt' ? 'a token and the next one' : '[CLS], a token to mask and [SEP]';
  throw new ApolloError(
    'BAD_CONFIG',
    `train.seq: at least ${least} for a ${kind === 'gpt' ? 'GPT' : 'BERT'} (${why}); got ${seq}, with which no row has anything to predict. Give a larger --seq.`,
  );
}
