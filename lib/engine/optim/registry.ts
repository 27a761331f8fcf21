/** The optimizers by name. */
import { ApolloError } from '../../errors.js';
import * as is from '../../is.js';
import type { ParameterDeclaration, ParameterStore } from '../parameters.js';
import { AdamW, type AdamWOptions, adamwState } from './adamw.js';
import { Muon, type MuonOptions, muonFlops, muonState } from './muon.js';
import type { Optimizer } from './optimizer.js';
import type { StateLayout } from './slots.js';

/** The options of each optimizer. */
export interface OptimizerOptions {
  /** Options of AdamW, for all parameters. */
  readonly adamw: AdamWOptions;
  /** Options of Muon for hidden matrices, with those of AdamW for all else. */
  readonly muon: MuonOptions;
}

/** The names of the optimizers. */
export type OptimizerName = keyof OptimizerOptions;

interface Entry<Name extends OptimizerName> {
  readonly state: StateLayout;
  readonly create: (store: ParameterStore, options: OptimizerOptions[Name]) => Optimizer;
  readonly flops: (spec: UpdatedParameter, options: CostOptions) => number;
}

/** Settings that the FLOPs of an update depend on, in addition to shapes. */
interface CostOptions {
  /** Muon's. */
  readonly iterations?: number | undefined;
}

type UpdatedParameter = Pick<ParameterDeclaration, 'shape' | 'matrices'>;

const registry: { readonly [Name in OptimizerName]: Entry<Name> } = {
  adamw: { state: adamwState, create: (store, options) => new AdamW(store, options), flops: () => 0 },
  muon: { state: muonState, create: (store, options) => new Muon(store, options), flops: muonFlops },
};

/**
 * The optimizers by name.
 * @example
 * optimizerNames.includes('muon')
 */
export const optimizerNames = Object.keys(registry) as OptimizerName[];

function entryOf<Name extends OptimizerName>(name: Name): Entry<Name> {
  if (!Object.hasOwn(registry, name)) {
    throw new ApolloError('BAD_ARGUMENT', `there is no optimizer '${name}'; known: ${optimizerNames.join(', ')}`);
  }
  return registry[name];
}

const takesCreateOptimizer = is.takes('createOptimizer', { name: is.string, store: is.store, options: is.record });

/**
 * An optimizer over the parameters of `store`, which keeps its state from then on.
 * ```ts
 * const optimizer = createOptimizer('adamw', store, { weightDecay: 0.1 });
 * await optimizer.step(names, { learningRate: 1e-3 });
 * ```
 * @throws ApolloError BAD_ARGUMENT for an unknown name, a bad option, or a store that keeps another optimizer's state.
 */
export function createOptimizer<Name extends OptimizerName>(
  name: Name,
  store: ParameterStore,
  options: OptimizerOptions[Name],
): Optimizer {
  takesCreateOptimizer(name, store, options);

  return entryOf(name).create(store, options);
}

const takesOptimizerState = is.takes('optimizerState', { name: is.string });

/**
 * What the optimizer of this name keeps of each parameter. @throws ApolloError BAD_ARGUMENT for an unknown name.
 * @example
 * optimizerState('adamw').of({ shape: [4, 4] }).slots.map(({ name }) => name);
 */
export function optimizerState(name: OptimizerName): StateLayout {
  takesOptimizerState(name);

  return entryOf(name).state;
}

const takesUpdateFlops = is.takes('updateFlops', {
  name: is.string,
  spec: is.parameterShape,
  options: is.options({ iterations: is.optional(is.index) }),
});

/**
 * FLOPs of the matrix products in one update of a parameter (as everywhere, two for a multiply-add of a product, and
 * nothing for work on single elements). They are no part of a model's FLOPs.
 * @example
 * updateFlops('muon', { shape: [256, 1024], matrices: [1024] }, { iterations: 5 });
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function updateFlops(name: OptimizerName, spec: UpdatedParameter, options: CostOptions = {}): number {
  takesUpdateFlops(name, spec, options);

  return entryOf(name).flops(spec, options);
}
