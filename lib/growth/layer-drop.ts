/** Keep probabilities of progressive layer dropping (Zhang and He, NeurIPS 2020). */

export interface DropOptions {
  /** theta-bar: what theta falls to. */
  readonly limit: number;
  /** Rate of the fall per step. */
  readonly gamma: number;
}

/** theta(t) = (1 - limit) exp(-gamma t) + limit: 1 at the first step. */
export function keepLevel(step: number, { limit, gamma }: DropOptions): number {
  return (1 - limit) * Math.exp(-gamma * step) + limit;
}

/** Probability that layer `layer` (0-based) of `layers` runs in step `step`: 1 - (i / L)(1 - theta(t)), i counted from 1. */
export function keepProbability(step: number, layer: number, layers: number, options: DropOptions): number {
  return 1 - ((layer + 1) / layers) * (1 - keepLevel(step, options));
}
