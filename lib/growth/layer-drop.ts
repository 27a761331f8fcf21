/** Keep and drop probabilities: progressive layer dropping (Zhang and He, NeurIPS 2020) and annealed layer dropout. */
import * as is from '../is.js';

/** How the share of kept layers falls, see {@link keepLevel}. */
export interface DropOptions {
  /** theta-bar: what theta falls to. */
  readonly limit: number;
  /** Rate of the fall per step. */
  readonly gamma: number;
}

const takesKeepLevel = is.takes('keepLevel', { step: is.notNegative, options: is.dropOptions });

/**
 * theta(t) = (1 - limit) exp(-gamma t) + limit: 1 at the first step.
 * @example
 * keepLevel(100, { limit: 0.5, gamma: 0.01 });
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function keepLevel(step: number, options: DropOptions): number {
  takesKeepLevel(step, options);
  const { limit, gamma } = options;
  return (1 - limit) * Math.exp(-gamma * step) + limit;
}

const takesKeepProbability = is.takes('keepProbability', {
  step: is.notNegative,
  layer: is.index,
  layers: is.count,
  options: is.dropOptions,
});

/**
 * Probability that layer `layer` (0-based) of `layers` runs in step `step`: 1 - (i / L)(1 - theta(t)), i counted from 1.
 * @example
 * keepProbability(100, 3, 12, { limit: 0.5, gamma: 0.01 });
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function keepProbability(step: number, layer: number, layers: number, options: DropOptions): number {
  takesKeepProbability(step, layer, layers, options);

  return 1 - ((layer + 1) / layers) * (1 - keepLevel(step, options));
}

const takesAnnealedDropProbability = is.takes('annealedDropProbability', {
  place: is.options({ layer: is.index, layers: is.count }),
  time: is.options({ step: is.index, steps: is.count }),
  highest: is.probability,
});

/**
 * Probability that layer `layer` (0-based) of `layers` is skipped in step `step` (0-based) of `steps` under annealed layer
 * dropout ("Don't Drop Dropout", arXiv 2609.05275): highest * layer / (layers - 1) * (1 - step / (steps - 1)). It rises
 * with depth and falls to 0 at the last step; on average over layers and steps highest / 4 of the layers are skipped.
 * @param place Where the layer is.
 * @param time How far the run is.
 * @param highest Probability of the last layer in the first step, in [0, 1].
 * @example
 * annealedDropProbability({ layer: 3, layers: 12 }, { step: 100, steps: 1000 }, 0.5);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function annealedDropProbability(
  place: {
    /** The layer, from 0. */
    readonly layer: number;
    /** Number of layers. */
    readonly layers: number;
  },
  time: {
    /** The step, from 0. */
    readonly step: number;
    /** Number of steps. */
    readonly steps: number;
  },
  highest: number,
): number {
  takesAnnealedDropProbability(place, time, highest);
  const { layer, layers } = place;
  const { step, steps } = time;
  if (layers === 1 || steps === 1) return 0;
  return highest * (layer / (layers - 1)) * Math.max(0, 1 - step / (steps - 1));
}
