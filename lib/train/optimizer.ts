/** The optimizer of a run: its settings, which are part of those of the run, and how it is made of them. */
import { z } from 'zod';
import {
  createOptimizer,
  type MuonMatrixOptions,
  type Optimizer,
  type OptimizerName,
  optimizerNames,
} from '../engine/optim/index.js';
import { muonDefaults } from '../engine/optim/muon.js';
import type { ParameterStore } from '../engine/parameters.js';
import { ApolloError } from '../errors.js';
import { positiveInteger } from '../methods/options.js';

/** Settings of the hidden matrices that Muon updates; see MuonMatrixOptions. `resolveOptimizer` has the defaults. */
export const muonSettings = z.strictObject({
  /** Decay of the mean of gradients, in [0, 1). Default: 0.95. */
  momentum: z.number().min(0).lt(1).optional(),
  /** Orthogonalise the mean with the newest gradient mixed in again. Default: true. */
  nesterov: z.boolean().optional(),
  /** Newton-Schulz iterations of an update, at least 1. Default: 5. */
  iterations: positiveInteger.optional(),
  /** Precision of the inputs of the iterations' products. Default: the run's precision. */
  precision: z.enum(['f32', 'bf16']).optional(),
  /**
   * Factor on the learning rate of a matrix [inputs, outputs]: sqrt(max(1, outputs / inputs)) ('original'), or
   * 0.2 sqrt(max(inputs, outputs)), with which one rate serves Muon and AdamW ('match_rms_adamw'). Default:
   * 'match_rms_adamw'.
   */
  adjust: z.enum(['original', 'match_rms_adamw']).optional(),
  /** Further factor on the learning rate of all matrices, 0 or more; meant for 'original'. Default: 1. */
  rateFactor: z.number().min(0).optional(),
});

export const optimizerName = z.enum(optimizerNames as [OptimizerName, ...OptimizerName[]]);

/** The optimizer settings of a run. */
export const optimizerSettings = {
  /** The optimizer; see docs/optimizers.md. Default: 'adamw'. */
  optimizer: optimizerName.default('adamw'),
  /**
   * AdamW's decay of the mean of gradients, in [0, 1); with Muon it holds for embeddings, head, norms and biases, as do
   * `beta2` and `epsilon`. Default: 0.9.
   */
  beta1: z.number().min(0).lt(1).default(0.9),
  /** AdamW's decay of the mean of squared gradients, in [0, 1). Default: 0.999. */
  beta2: z.number().min(0).lt(1).default(0.999),
  /** AdamW's addend to the root of the second moment, which the update is divided by; above 0. Default: 1e-8. */
  epsilon: z.number().positive().default(1e-8),
  /**
   * Weight decay of all matrices and tables, with either optimizer: each update also subtracts learning rate x this x the
   * weight. 0 or more. Default: 0.01.
   */
  weightDecay: z.number().min(0).default(0.01),
  /** Gradients are scaled down to this L2 norm over all of them; 0 leaves them as they are. Default: 1. */
  maxNorm: z.number().min(0).default(1),
  /** Settings of the matrices that Muon updates; only with the optimizer 'muon'. */
  muon: muonSettings.optional(),
};

const schema = z.object(optimizerSettings);
export type OptimizerConfig = z.output<typeof schema>;

/**
 * Muon's settings with their defaults where Muon is the optimizer.
 * @throws ApolloError BAD_CONFIG when they are given for another one.
 */
export function resolveOptimizer<Config extends OptimizerConfig & { readonly precision: 'f32' | 'bf16' }>(
  config: Config,
): Config {
  if (config.optimizer !== 'muon') {
    if (config.muon === undefined) return config;
    throw new ApolloError(
      'BAD_CONFIG',
      `train.muon: these are settings of the optimizer "muon", and train.optimizer is "${config.optimizer}". Set it to "muon", or remove them.`,
    );
  }
  return { ...config, muon: { ...muonDefaults, precision: config.precision, ...defined(config.muon ?? {}) } };
}

const defined = (values: z.output<typeof muonSettings>): MuonMatrixOptions =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));

/** The optimizer in a run's identity. AdamW is omitted, as in checkpoints from before there were others. */
export function optimizerIdentity({ optimizer }: OptimizerConfig): { readonly optimizer?: OptimizerName } {
  return optimizer === 'adamw' ? {} : { optimizer };
}

/** The optimizer of a run over its store. */
export function optimizerOf(config: OptimizerConfig, store: ParameterStore): Optimizer {
  const { optimizer, beta1, beta2, epsilon, weightDecay, maxNorm, muon } = config;
  const adamw = { beta1, beta2, epsilon, weightDecay, maxNorm };
  switch (optimizer) {
    case 'adamw':
      return createOptimizer(optimizer, store, adamw);
    case 'muon':
      return createOptimizer(optimizer, store, { ...adamw, ...defined(muon ?? {}) });
  }
}
