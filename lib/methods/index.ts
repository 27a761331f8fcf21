/** The registry of training methods. Adding one is adding its file and its lines here. */
import { ApolloError } from '../errors.js';
import * as is from '../is.js';
import type { ModelConfig } from '../models/index.js';
import { apollo } from './apollo.js';
import { auto } from './auto.js';
import { bert2bert } from './bert2bert.js';
import { dpt } from './dpt.js';
import { gstack } from './gstack.js';
import { layerdrop } from './layerdrop.js';
import { lidas } from './lidas.js';
import { ligo } from './ligo.js';
import { loop } from './loop.js';
import type { MethodContext, TrainingMethod } from './method.js';
import { midas } from './midas.js';
import { mslt } from './mslt.js';
import { net2net } from './net2net.js';
import { pld } from './pld.js';
import { prores } from './prores.js';
import { raptr } from './raptr.js';
import { scratch } from './scratch.js';
import { stackbert } from './stackbert.js';
import { staged } from './staged.js';
import { unshare } from './unshare.js';

export { AdaptiveMethod, type SeenLosses } from './adaptive.js';
export { type ApolloOptions, apollo } from './apollo.js';
export { type AutoOptions, auto } from './auto.js';
export { type Bert2BertOptions, bert2bert } from './bert2bert.js';
export { type DptOptions, dpt } from './dpt.js';
export { type GStackOptions, gstack } from './gstack.js';
export { type LayerDropOptions, layerdrop } from './layerdrop.js';
export { type LidasOptions, lidas } from './lidas.js';
export { type LigoOptions, ligo } from './ligo.js';
export { type LoopOptions, loop } from './loop.js';
export * from './method.js';
export { type MidasOptions, midas } from './midas.js';
export { type MsltOptions, mslt } from './mslt.js';
export { type Net2NetOptions, net2net } from './net2net.js';
export { type PldOptions, pld } from './pld.js';
export { type ProResOptions, prores } from './prores.js';
export { type RaptrOptions, raptr } from './raptr.js';
export { type ScratchOptions, scratch } from './scratch.js';
export { type StackBertOptions, stackbert } from './stackbert.js';
export { type StagedOptions, staged } from './staged.js';
export { type UnshareOptions, unshare } from './unshare.js';

const methods = {
  auto,
  scratch,
  apollo,
  stackbert,
  mslt,
  unshare,
  pld,
  gstack,
  bert2bert,
  net2net,
  staged,
  ligo,
  midas,
  lidas,
  prores,
  raptr,
  layerdrop,
  dpt,
  loop,
} satisfies Record<string, (options: never, context: MethodContext) => TrainingMethod>;

export type MethodName = keyof typeof methods;
/** Settings of each method. */
export type MethodOptions = { [Name in MethodName]: Parameters<(typeof methods)[Name]>[0] };

export const methodNames = Object.keys(methods) as MethodName[];

/** Methods that start from a smaller, trained model: they have the settings `small` and `source`. */
export const methodsWithSource: readonly MethodName[] = ['bert2bert', 'net2net', 'ligo'];

const takesCreateMethod = is.takes('createMethod', {
  name: is.string,
  options: is.record,
  context: is.options({ model: is.optional(is.modelConfig) }),
});

/**
 * The method called `name`. Methods that grow in width want the finished model's configuration.
 * @example createMethod('apollo', { layers: 12, totalSteps: 10_000, seed: 42, sampler: 'edge' })
 * @throws ApolloError BAD_CONFIG for an unknown name or a setting that is wrong, naming it.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function createMethod<Name extends MethodName>(
  name: Name,
  options: MethodOptions[Name],
  context: MethodContext = {},
): TrainingMethod {
  takesCreateMethod(name, options, context);

  if (!Object.hasOwn(methods, name)) {
    throw new ApolloError(
      'BAD_CONFIG',
      `There is no training method "${String(name)}". Known: ${methodNames.join(', ')}.`,
    );
  }
  const make = methods[name] as (options: MethodOptions[Name], context: MethodContext) => TrainingMethod;
  return make(options, context);
}

/** A method of the package with settings of its own besides layers, steps and seed, which follow from model and run. */
export interface MethodChoice {
  readonly method: MethodName;
  readonly options?: Readonly<Record<string, unknown>>;
}

/** The method of a run: by name, with settings, or a method object, which may be a custom one. */
export type ChosenMethod = MethodName | MethodChoice | TrainingMethod;

/**
 * The method that was chosen, for a run of `totalSteps` steps that ends with a model of `model`.
 * @throws ApolloError BAD_CONFIG as createMethod.
 */
export function chosenMethod(
  chosen: ChosenMethod,
  { totalSteps, seed }: { readonly totalSteps: number; readonly seed: number },
  model: ModelConfig,
): TrainingMethod {
  if (typeof chosen === 'object' && 'stageAt' in chosen) return chosen;
  const { method, options = {} } = typeof chosen === 'string' ? { method: chosen } : chosen;
  return createMethod(method, { ...options, layers: model.layers, totalSteps, seed } as never, { model });
}
