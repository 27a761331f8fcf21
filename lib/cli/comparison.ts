/** A comparison from the settings of the command line. */
import {
  type ComparedMethod,
  Comparison,
  checkNames,
  type SeedlessOptions,
  type SmallRun,
  smallRun,
} from '../compare/index.js';
import type { ModelConfig } from '../models/index.js';
import type { Session } from './session.js';
import { methodOf, seedsOf, trainOptionsOf } from './settings/resolve.js';
import type { Settings } from './settings/schema.js';

export interface ComparisonRun {
  readonly settings: Settings;
  readonly session: Session;
  readonly folder: string;
  readonly resume: boolean;
  readonly signal: AbortSignal;
}

/** The options of the compared runs. */
function comparedOptions(settings: Settings, finished: ModelConfig, precision: 'f32' | 'bf16'): SeedlessOptions {
  const { seed: _, ...train } = trainOptionsOf(settings, finished, settings.seed, precision);
  return train;
}

/** The smaller model of a comparison, and its run. */
export function smallRunOf(settings: Settings, finished: ModelConfig, precision: 'f32' | 'bf16'): SmallRun {
  const { small, warmup } = settings;
  const train = comparedOptions(settings, finished, precision);
  return smallRun(finished, train, small, warmup < 1 ? warmup : undefined);
}

/** @throws ApolloError BAD_CONFIG when a method is named twice. */
export const checkMethods = ({ methods }: Pick<Settings, 'methods'>): void => checkNames(methods);

/** @throws ApolloError BAD_CONFIG when a method is named twice or has wrong settings. */
export function comparisonOf({ settings, session, ...rest }: ComparisonRun): Comparison {
  const { device, group, batches: corpus, model, precision, description } = session;
  const methods = settings.methods.map(
    (name): ComparedMethod => ({
      name,
      create: ({ seed, source }) => methodOf(settings, name, model.config, seed, source),
    }),
  );
  return new Comparison({
    ...{ device, group, corpus, model, description, methods, ...rest },
    seeds: seedsOf(settings),
    train: comparedOptions(settings, model.config, precision),
    small: smallRunOf(settings, model.config, precision),
    init: settings.init,
  });
}
