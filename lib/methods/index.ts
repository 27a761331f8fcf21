/** The registry of training methods. Adding one is adding its file and a line here. */
import { ApolloError } from '../errors.js';
import { type ApolloOptions, apollo } from './apollo.js';
import { type LigoOptions, ligo } from './ligo.js';
import type { MethodContext, TrainingMethod } from './method.js';
import { type ScratchOptions, scratch } from './scratch.js';

export { type ApolloOptions, apollo } from './apollo.js';
export { type LigoOptions, ligo } from './ligo.js';
export * from './method.js';
export { type ScratchOptions, scratch } from './scratch.js';

/** Settings of each method. */
export interface MethodOptions {
  scratch: ScratchOptions;
  apollo: ApolloOptions;
  ligo: LigoOptions;
}
export type MethodName = keyof MethodOptions;

const methods: {
  readonly [Name in MethodName]: (options: MethodOptions[Name], context: MethodContext) => TrainingMethod;
} = {
  scratch,
  apollo,
  ligo,
};

export const methodNames = Object.keys(methods) as MethodName[];

/**
 * The method called `name`. Methods that grow in width want the finished model's configuration.
 * @example createMethod('apollo', { layers: 12, totalSteps: 10_000, seed: 42, sampler: 'edge' })
 * @throws ApolloError BAD_CONFIG for an unknown name or a setting that is wrong, naming it.
 */
export function createMethod<Name extends MethodName>(
  name: Name,
  options: MethodOptions[Name],
  context: MethodContext = {},
): TrainingMethod {
  if (!Object.hasOwn(methods, name)) {
    throw new ApolloError(
      'BAD_CONFIG',
      `There is no training method "${String(name)}". Known: ${methodNames.join(', ')}.`,
    );
  }
  return methods[name](options, context);
}
