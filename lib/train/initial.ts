/** The values that a run begins with: random ones, or those that its method makes of a model trained before. */
import type { ParameterStore } from '../engine/parameters.js';
import type { TrainingMethod } from '../methods/method.js';
import { declareSpecs, initialiseSpecs } from '../models/index.js';
import type { SourceCosts } from './model-folder.js';
import { openSource, unknownCosts } from './source.js';
import type { StageNetwork } from './stage.js';

export interface InitialSite {
  readonly store: ParameterStore;
  /** Of the first stage. */
  readonly network: StageNetwork;
  readonly method: TrainingMethod;
  /** Of random values. */
  readonly seed: number;
}

export interface Beginning {
  /** What training the model cost that the run begins with, where it begins with one that says so. */
  readonly costs?: SourceCosts | undefined;
  /** What the user should know, a sentence each. */
  readonly warnings: readonly string[];
}

/** Declares the parameters of the first stage and fills them. */
export async function initialise({ store, network, method, seed }: InitialSite): Promise<Beginning> {
  const { reparameterisation, specs } = network;
  const { initial } = method;
  if (!initial) {
    await initialiseSpecs(store, specs, seed);
    return { warnings: [] };
  }
  const source = await openSource(initial.source, seed);
  try {
    initial.check(source.config, source.layers);
    declareSpecs(store, specs);
    for (const spec of specs) {
      const value = reparameterisation
        ? await reparameterisation.initial(spec, source)
        : await initial.value(spec, source);
      await store.write(spec.name, value);
    }
    return {
      costs: source.costs,
      warnings: source.costs ? source.warnings : [...source.warnings, unknownCosts(source)],
    };
  } finally {
    await source.close();
  }
}
