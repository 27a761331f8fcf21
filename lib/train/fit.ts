/** Whether settings, model, method and corpus of a run belong together. */
import { ApolloError } from '../errors.js';
import type { TrainConfig } from './config.js';
import type { RunDependencies } from './dependencies.js';
import { checkSequence } from './preflight.js';

/** @throws ApolloError BAD_CONFIG when settings, model and method do not belong together. */
export function checkFit(config: TrainConfig, { model, method, corpus, store }: RunDependencies): void {
  if (method.layers !== model.config.layers) {
    throw new ApolloError(
      'BAD_CONFIG',
      `The method ends with ${method.layers} layers, the model has ${model.config.layers}. Give both the same number.`,
    );
  }
  const total = method.settings['totalSteps'];
  if (typeof total === 'number' && total !== config.steps) {
    throw new ApolloError(
      'BAD_CONFIG',
      `The method's totalSteps is ${total}, train.steps is ${config.steps}. Give both the same number.`,
    );
  }
  const { accumulation = config.accumulation } = corpus;
  if (accumulation !== config.accumulation) {
    throw new ApolloError(
      'BAD_CONFIG',
      `The corpus is cut for ${accumulation} micro-batches a step, train.accumulation is ${config.accumulation}. Give both the same number.`,
    );
  }
  checkSequence(config.seq, model.config);
  if (store && (store.precision !== config.precision || store.names().length > 0)) {
    throw new ApolloError(
      'BAD_ARGUMENT',
      `store must be empty and of train.precision (${config.precision}); got one of ${store.precision} with ${store.names().length} parameters.`,
    );
  }
}
