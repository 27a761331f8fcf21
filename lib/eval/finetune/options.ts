/** Settings of fine-tuning. All but the seeds and how checkpoints are kept decide the bits of a seed's run. */
import { z } from 'zod';
import * as is from '../../is.js';
import { parseOptions, positiveInteger } from '../../methods/options.js';

const schema = z.strictObject({
  /** Each seed is a run of its own: initial head, order of examples, dropout. Default: [42]. */
  seeds: z.array(z.int()).min(1).default([42]),
  /** Passes over the training examples, at least 1. Default: 3. */
  epochs: positiveInteger.default(3),
  /** Sequences of one micro-batch, at least 1. Default: 32. */
  batch: positiveInteger.default(32),
  /** Micro-batches of one step. Its gradient is the mean over all labelled sequences of the step. Default: 1. */
  accumulation: positiveInteger.default(1),
  /** Highest learning rate, above 0; BERT's paper tries 2e-5 to 5e-5, small models take more. Default: 5e-5. */
  learningRate: z.number().positive().default(5e-5),
  /** Share of the steps in which the learning rate rises, in [0, 1); then it falls to 0. Default: 0.1. */
  warmup: z.number().min(0).lt(1).default(0.1),
  /**
   * Dropout of embeddings, residual branches, attention and pooled state, in [0, 1); replaces the value that the model was
   * trained with. Default: 0.1.
   */
  dropout: z.number().min(0).lt(1).default(0.1),
  /** Weight decay of all matrices and tables, 0 or more. Default: 0.01. */
  weightDecay: z.number().min(0).default(0.01),
  /** Gradients are scaled down to this L2 norm over all of them; 0 leaves them as they are. Default: 1. */
  maxNorm: z.number().min(0).default(1),
  /** Tokens of a sequence at most, special ones included. */
  maxLength: positiveInteger,
  /** Precision of matrix products; master weights, moments, norms, softmax and loss are f32 in both. Default: 'f32'. */
  precision: z.enum(['f32', 'bf16']).default('f32'),
  /** Consecutive steps with a loss or gradient that is not finite after which the run stops. Default: 5. */
  nonFiniteLimit: positiveInteger.default(5),
  /** Minutes of training between checkpoints, in addition to the one after each epoch. 0: none by time. Default: 10. */
  checkpointMinutes: z.number().min(0).default(10),
  /** How many of the newest checkpoints of a seed are kept until it is finished. Default: 2. */
  keepCheckpoints: positiveInteger.default(2),
});

/** The settings of {@link fineTune}. */
export interface FineTuneOptions extends z.input<typeof schema> {}
/**
 * The settings of fine-tuning with their defaults.
 * @example
 * const { epochs, learningRate }: Pick<FineTuneConfig, 'epochs' | 'learningRate'> = { epochs: 3, learningRate: 2e-5 };
 */
export interface FineTuneConfig extends z.output<typeof schema> {}

const takesFineTuneConfig = is.takes('fineTuneConfig', { options: is.record });

/**
 * The settings with their defaults. @throws ApolloError BAD_CONFIG naming each setting that is wrong.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function fineTuneConfig(options: FineTuneOptions): FineTuneConfig {
  takesFineTuneConfig(options);

  return parseOptions('finetune', schema, options);
}
