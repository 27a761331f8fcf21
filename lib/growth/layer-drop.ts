/** Keep and drop probabilities: progressive layer dropping (Zhang and He, NeurIPS 2020) and annealed layer dropout. */

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

/**
 * Probability that layer `layer` (0-based) of `layers` is skipped in step `step` (0-based) of `steps` under annealed layer
 * dropout ("Don't Drop Dropout", arXiv 2609.05275): highest * layer / (layers - 1) * (1 - step / (steps - 1)). It rises
 * with depth and falls to 0 at the last step; on average over layers and steps highest / 4 of the layers are skipped.
 */
export function annealedDropProbability(
  { layer, layers }: { readonly layer: number; readonly layers: number },
  { step, steps }: { readonly step: number; readonly steps: number },
  highest: number,
): number {
  if (layers === 1 || steps === 1) return 0;
  return highest * (layer / (layers - 1)) * Math.max(0, 1 - step / (steps - 1));
}
