/** Settings of fine-tuning. All but the seeds and how checkpoints are kept decide the bits of a seed's run. */
import { z } from 'zod';
import * as is from '../../is.js';
import { parseOptions, positiveInteger } from '../../methods/options.js';

const schema = z.strictObject({
  /** Each seed is a run of its own: initial head, order of examples, dropout. */
  seeds: z.array(z.int()).min(1).default([42]),
  epochs: positiveInteger.default(3),
  /** Sequences of one micro-batch. */
  batch: positiveInteger.default(32),
  /** Micro-batches of one step. Its gradient is the mean over all labelled sequences of the step. */
  accumulation: positiveInteger.default(1),
  /** Highest learning rate; BERT's paper tries 2e-5 to 5e-5, small models take more. */
  learningRate: z.number().positive().default(5e-5),
  /** Share of the steps in which the learning rate rises. */
  warmup: z.number().min(0).lt(1).default(0.1),
  /** Dropout of embeddings, residual branches, attention and pooled state; replaces the value that the model was trained with. */
  dropout: z.number().min(0).lt(1).default(0.1),
  weightDecay: z.number().min(0).default(0.01),
  /** Gradients are scaled down to this global norm; 0 leaves them as they are. */
  maxNorm: z.number().min(0).default(1),
  /** Tokens of a sequence at most, special ones included. */
  maxLength: positiveInteger,
  precision: z.enum(['f32', 'bf16']).default('f32'),
  /** Consecutive steps with a loss or gradient that is not finite after which the run stops. */
  nonFiniteLimit: positiveInteger.default(5),
  /** Minutes of training between checkpoints, in addition to the one after each epoch. 0: not by time. */
  checkpointMinutes: z.number().min(0).default(10),
  /** Complete checkpoints that are kept until a seed is finished. */
  keepCheckpoints: positiveInteger.default(2),
});

/** The settings of {@link fineTune}. */
export type FineTuneOptions = z.input<typeof schema>;
/**
 * The settings of fine-tuning with their defaults.
 * @example
 * const { epochs, learningRate }: Pick<FineTuneConfig, 'epochs' | 'learningRate'> = { epochs: 3, learningRate: 2e-5 };
 */
export type FineTuneConfig = z.output<typeof schema>;

const takesFineTuneConfig = is.takes('fineTuneConfig', { options: is.record });

/**
 * The settings with their defaults. @throws ApolloError BAD_CONFIG naming each setting that is wrong.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function fineTuneConfig(options: FineTuneOptions): FineTuneConfig {
  takesFineTuneConfig(options);

  return parseOptions('finetune', schema, options);
}
