/** What a schedule and a sampler will cost, before anything runs: expected FLOPs relative to full depth. */
import type { DepthSampler } from './samplers.js';
import type { StageSchedule } from './schedule.js';

/** FLOPs per token of one layer and of the head; only their ratio matters. A head of 0 counts layers alone. */
export interface LayerFlops {
  readonly layer: number;
  readonly head: number;
}

/** Expected cost of a step with `units` trained layers, as a fraction of a step at full depth. */
export function relativeCost(sampler: DepthSampler, units: number, layers: number, flops: LayerFlops): number {
  const depth = sampler.expectedDepth(units, layers);
  return (depth * flops.layer + flops.head) / (layers * flops.layer + flops.head);
}

/** Expected cost of a whole run of `totalSteps` steps, as a fraction of the same run at full depth. */
export function relativeRunCost(
  sampler: DepthSampler,
  schedule: StageSchedule,
  totalSteps: number,
  flops: LayerFlops,
): number {
  const layers = schedule.units.at(-1) as number;
  const ends = [...schedule.boundaries.map((step) => Math.min(step, totalSteps)), totalSteps];
  let sum = 0;
  schedule.units.forEach((units, stage) => {
    const begin = stage === 0 ? 0 : (ends[stage - 1] as number);
    sum += ((ends[stage] as number) - begin) * relativeCost(sampler, units, layers, flops);
  });
  return sum / totalSteps;
}
