/** A comparison from the settings of the command line. */
import { type ComparedMethod, Comparison, checkNames, smallModel } from '../compare/index.js';
import type { LanguageModel, ModelConfig } from '../models/index.js';
import type { RunRecord } from '../report/results.js';
import type { TrainOptions } from '../train/index.js';
import type { Session } from './session.js';
import { methodOf, seedsOf, totalStepsOf, trainOptionsOf } from './settings/resolve.js';
import type { Settings } from './settings/schema.js';

export interface ComparisonRun {
  readonly settings: Settings;
  readonly session: Session;
  readonly folder: string;
  readonly resume: boolean;
  readonly previous: readonly RunRecord[];
  readonly signal: AbortSignal;
}

/** The smaller model of a comparison, and the settings of its run. */
export function smallRun(settings: Settings, finished: ModelConfig): { model: LanguageModel; settings: Settings } {
  const { small, learningRate } = settings;
  const model = smallModel(finished, small);
  const steps = small.steps ?? totalStepsOf(settings, model.config);
  const keepAt = settings.keepAt.filter((at) => at <= steps); // its run may be shorter
  return {
    model,
    settings: { ...settings, steps, keepAt, tokens: undefined, learningRate: small.learningRate ?? learningRate },
  };
}

/** @throws ApolloError BAD_CONFIG when a method is named twice. */
export const checkMethods = ({ methods }: Pick<Settings, 'methods'>): void => checkNames(methods);

/** @throws ApolloError BAD_CONFIG when a method is named twice or has wrong settings. */
export function comparisonOf({ settings, session, ...rest }: ComparisonRun): Comparison {
  const { device, group, batches: corpus, model, precision, description } = session;
  const options = ({ settings: own, model }: { settings: Settings; model: LanguageModel }) => {
    const { seed: _, ...train }: TrainOptions = trainOptionsOf(own, model.config, own.seed, precision);
    return train;
  };
  const small = smallRun(settings, model.config);
  const methods = settings.methods.map(
    (name): ComparedMethod => ({
      name,
      create: ({ seed, source }) => methodOf(settings, name, model.config, seed, source),
    }),
  );
  return new Comparison({
    ...{ device, group, corpus, model, description, methods, ...rest },
    seeds: seedsOf(settings),
    train: options({ settings, model }),
    small: { model: small.model, train: options(small) },
    init: settings.init,
  });
}
