/** A run of settings, model, method and corpus that belong together. */
import { checkVocabulary } from '../data/index.js';
import { alone } from '../dist/index.js';
import type { ParameterStore } from '../engine/parameters.js';
import { ApolloError } from '../errors.js';
import { chosenMethod } from '../methods/index.js';
import { resolveConfig, type TrainConfig, type TrainOptions } from './config.js';
import type { RunDependencies, TrainDependencies } from './dependencies.js';
import { checkAnswers } from './method-answers.js';
import { checkSequence } from './preflight.js';
import { Run } from './run.js';

/** Makes the method and the run, whose `accumulation` is that of all ranks; `open` starts it. @throws ApolloError BAD_CONFIG when they do not belong together. */
export function createRun(options: TrainOptions, given: TrainDependencies): Run {
  const { group = alone } = given;
  const own = resolveConfig(options);
  const config = { ...own, accumulation: own.accumulation * group.size };
  const { steps: totalSteps, seed, batch, seq, accumulation } = config;
  const run = { totalSteps, seed, tokensPerStep: batch * seq * accumulation };
  const deps = { ...given, group, method: chosenMethod(given.method, run, given.model.config) };
  checkFit(config, deps);
  const made = new Run(config, deps);
  if (given.store) inUse.set(given.store, made);
  return made;
}

/** Stores of callers, and the run that has each. */
const inUse = new WeakMap<ParameterStore, Run>();

/** @throws ApolloError BAD_CONFIG when settings, model and method do not belong together. */
function checkFit(config: TrainConfig, { model, method, corpus, store }: RunDependencies): void {
  if (method.layers !== model.config.layers) {
    throw new ApolloError(
      'BAD_CONFIG',
      `The method ends with ${method.layers} layers, the model has ${model.config.layers}. Give both the same number.`,
    );
  }
  checkAnswers(method);
  const total = method.settings['totalSteps'];
  if (typeof total === 'number' && total !== config.steps) {
    throw new ApolloError(
      'BAD_CONFIG',
      `The method's totalSteps is ${total}, but train.steps is ${config.steps}. Give both the same number.`,
    );
  }
  checkSequence(config.seq, model.config);
  if (corpus.vocabSize !== undefined) checkVocabulary({ vocabSize: corpus.vocabSize }, model.config.vocabSize);
  if (store && inUse.get(store)?.closed === false) {
    throw new ApolloError(
      'BAD_ARGUMENT',
      'store is in use by another run. Give each run its own, or start this one when the other has ended.',
    );
  }
  if (store && (store.precision !== config.precision || store.names().length > 0)) {
    throw new ApolloError(
      'BAD_ARGUMENT',
      `store must be empty and of train.precision (${config.precision}); got one of ${store.precision} with ${store.names().length} parameters.`,
    );
  }
}
