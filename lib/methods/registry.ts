/** The registry of training methods. Adding one is adding its file and its lines here. */
import { describe } from '../arguments.js';
import { ApolloError, check } from '../errors.js';
import * as is from '../is.js';
import type { ModelConfig } from '../models/index.js';
import { unknownName } from '../suggest.js';
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

/** The names of the built-in methods. */
export type MethodName = keyof typeof methods;
/** The settings of each built-in method. */
export type MethodOptions = { [Name in MethodName]: Parameters<(typeof methods)[Name]>[0] };

/**
 * The names of the built-in methods.
 * @example methodNames.includes('apollo') // true
 */
export const methodNames = Object.keys(methods) as readonly MethodName[];

/** Methods that begin with a smaller model which was trained before: they have the settings `small` and `source`. */
export const methodsWithSource: readonly string[] = ['bert2bert', 'net2net', 'ligo'];

/** What every method is made with. */
export interface CommonOptions {
  /** Depth of the finished model. */
  readonly layers: number;
  /** Optimizer steps of the whole run. */
  readonly totalSteps: number;
  /** Seed of the method's own draws, a safe integer. */
  readonly seed: number;
}

/** A method from outside of the package, see {@link registerMethod}. */
export interface MethodDefinition {
  /** What it is called in `--method`, in settings (`--set NAME.setting=…`) and in events; letters, digits, `-` and `_`. */
  readonly name: string;
  /**
   * The method for a run. `options` holds layers, totalSteps, seed and what the user set for this method; refuse what is
   * wrong with an `ApolloError` BAD_CONFIG that names the setting.
   */
  create(options: CommonOptions & Readonly<Record<string, unknown>>, context: MethodContext): TrainingMethod;
}

const registered = new Map<string, MethodDefinition>();

/** The names of all methods: those of the package, then those that were registered. */
export const knownMethods = (): string[] => [...methodNames, ...registered.keys()];

const takesRegisterMethod = is.takes('registerMethod', {
  definition: is.object('a method { name, create }', { name: is.name, create: is.func }),
});

/**
 * Adds a method from outside of the package. It can then be named wherever a built-in one can: in `train`, `compare` and
 * `createMethod`. The command line loads a module that does so with `--method ./mine.mjs`.
 * @example
 * registerMethod({
 *   name: 'freeze',
 *   create: ({ layers, totalSteps, seed }) => {
 *     const whole = createMethod('scratch', { layers, totalSteps, seed });
 *     const trainable = (name: string) => !name.startsWith('embeddings.');
 *     return { ...whole, name: 'freeze', plan: (step) => ({ ...whole.plan(step), trainable }) };
 *   },
 * });
 * @throws {ApolloError} BAD_ARGUMENT when there is a method of this name, or the argument is no definition.
 */
export function registerMethod(definition: MethodDefinition): void {
  takesRegisterMethod(definition);
  const { name } = definition;
  check(
    /^[A-Za-z][\w-]*$/.test(name),
    `registerMethod: name must be of letters, digits, - and _; got ${describe(name)}`,
  );
  check(!knownMethods().includes(name), `registerMethod: there is a method "${name}" already; choose another name`);
  registered.set(name, definition);
}

const takesCreateMethod = is.takes('createMethod', {
  name: is.string,
  options: is.record,
  context: is.options({ model: is.optional(is.modelConfig), tokensPerStep: is.optional(is.positive) }),
});

/**
 * The method called `name`. Methods that grow in width need the finished model's configuration in `context`.
 * @example createMethod('apollo', { layers: 12, totalSteps: 10_000, seed: 42, sampler: 'edge' })
 * @throws {ApolloError} BAD_CONFIG for an unknown name or a setting that is wrong, naming it; BAD_ARGUMENT naming an
 * argument that is wrong.
 */
export function createMethod<Name extends MethodName>(
  name: Name,
  options: MethodOptions[Name],
  context?: MethodContext,
): TrainingMethod;
export function createMethod<Name extends string>(
  name: Name extends MethodName ? never : Name,
  options: CommonOptions & Readonly<Record<string, unknown>>,
  context?: MethodContext,
): TrainingMethod;
export function createMethod(
  name: string,
  options: CommonOptions & Readonly<Record<string, unknown>>,
  context: MethodContext = {},
): TrainingMethod {
  takesCreateMethod(name, options, context);

  if (Object.hasOwn(methods, name)) {
    const make = methods[name as MethodName] as (options: unknown, context: MethodContext) => TrainingMethod;
    return make(options, context);
  }
  const definition = registered.get(name);
  if (!definition) {
    throw new ApolloError('BAD_CONFIG', `There is no training method ${unknownName(String(name), knownMethods())}`);
  }
  return checkedMethod(name, definition.create(options, context));
}

/** What a host program made as the method `name`. @throws {ApolloError} BAD_CONFIG for what is no method. */
export function checkedMethod(name: string, made: TrainingMethod): TrainingMethod {
  if (!is.trainingMethod.problem(made)) return made;
  throw new ApolloError(
    'BAD_CONFIG',
    `The method "${name}" must make a TrainingMethod { name, layers, settings, stageAt, plan, evaluationMaps, growth }; got ${describe(made)}.`,
  );
}

/** A method by name with its own settings; layers, steps and seed follow from model and run. */
export interface MethodChoice {
  /** Of a built-in method, or of one that was registered. */
  readonly method: AnyMethodName;
  /** Its own settings, as its page in docs/methods has them. */
  readonly options?: Readonly<Record<string, unknown>>;
}

/** Name of a built-in method, or of one that was registered. */
export type AnyMethodName = MethodName | (string & {});

/** What a run trains with: a method by name, one with settings, or a `TrainingMethod` that was made already; see {@link train}. */
export type ChosenMethod = AnyMethodName | MethodChoice | TrainingMethod;

/** The run of a method. */
export interface MethodRun {
  readonly totalSteps: number;
  readonly seed: number;
  /** Through all ranks. */
  readonly tokensPerStep: number;
}

/**
 * The method that was chosen, for a run of `totalSteps` steps that ends with a model of `model`.
 * @throws ApolloError BAD_CONFIG as createMethod.
 */
export function chosenMethod(chosen: ChosenMethod, run: MethodRun, model: ModelConfig): TrainingMethod {
  if (typeof chosen === 'object' && 'stageAt' in chosen) return chosen;
  const { method, options = {} } = typeof chosen === 'string' ? { method: chosen } : chosen;
  return methodOfRun(method, options, run, model);
}

/**
 * The method called `name` in a run, from which its layers, steps and seed follow.
 * @throws ApolloError BAD_CONFIG as createMethod, and for one of these three among the options.
 */
export function methodOfRun(
  name: string,
  options: Readonly<Record<string, unknown>>,
  { totalSteps, seed, tokensPerStep }: MethodRun,
  model: ModelConfig,
): TrainingMethod {
  const common = { totalSteps, seed, layers: model.layers };
  const given = Object.keys(common).find((key) => key in options);
  if (given !== undefined)
    throw new ApolloError(
      'BAD_CONFIG',
      `${name}.${given}: this follows from the run. Remove it from the method's settings.`,
    );
  return createMethod(name, { ...options, ...common }, { model, tokensPerStep });
}
