/** How far a set of runs is, measured in model FLOPs: what a step at a small depth costs is known beforehand. */
import type { TrainingMethod } from '../methods/index.js';
import type { LanguageModel } from '../models/index.js';

/** Model FLOPs of the first `steps` steps of a method, for a step of `tokens` tokens in sequences of `seq`. */
export function plannedFlops(
  method: TrainingMethod,
  model: Pick<LanguageModel, 'flopsPerToken'>,
  steps: number,
  { seq, tokens }: { readonly seq: number; readonly tokens: number },
): number {
  const perDepth = new Map<number, number>();
  for (let step = 0; step < steps; step++) {
    const { depth } = method.plan(step);
    perDepth.set(depth, (perDepth.get(depth) ?? 0) + 1);
  }
  return [...perDepth].reduce((sum, [depth, count]) => sum + count * tokens * model.flopsPerToken(depth, seq), 0);
}
