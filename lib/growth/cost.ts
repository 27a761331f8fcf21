/** Predicted cost of a schedule and a sampler: expected FLOPs relative to full depth. */

import * as is from '../is.js';
import type { DepthSampler } from './samplers.js';
import type { StageSchedule } from './schedule.js';

/** FLOPs per token of one layer and of the head; only their ratio matters. A head of 0 counts layers alone. */
export interface LayerFlops {
  /** FLOPs of one layer per token, in any unit. */
  readonly layer: number;
  /** FLOPs of the head per token, in the same unit, counted once at every depth. */
  readonly head: number;
}

const takesRelativeCost = is.takes('relativeCost', {
  sampler: is.sampler,
  trainedLayers: is.number,
  layers: is.number,
  flops: is.layerFlops,
});

/**
 * Expected cost of a step with `trainedLayers`, as a fraction of a step at full depth.
 * @example
 * relativeCost(lvps, 3, 12, { layer: 4, head: 1 }) // of a step at full depth
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function relativeCost(sampler: DepthSampler, trainedLayers: number, layers: number, flops: LayerFlops): number {
  takesRelativeCost(sampler, trainedLayers, layers, flops);

  const depth = sampler.expectedDepth(trainedLayers, layers);
  return (depth * flops.layer + flops.head) / (layers * flops.layer + flops.head);
}

const takesRelativeRunCost = is.takes('relativeRunCost', {
  sampler: is.sampler,
  schedule: is.object('a StageSchedule (from makeSchedule)', {
    stageLayers: is.list(is.count, { least: 1 }),
    boundaries: is.list(is.index),
  }),
  totalSteps: is.count,
  flops: is.layerFlops,
});

/**
 * Expected cost of a whole run of `totalSteps` steps, as a fraction of the same run at full depth.
 * @example
 * const schedule = makeSchedule({ stageLayers: [1, 3, 6, 12], boundaries: { fractions: [0.1, 0.2, 0.4] }, totalSteps: 1000 });
 * relativeRunCost(lvps, schedule, 1000, { layer: 4, head: 1 });
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function relativeRunCost(
  sampler: DepthSampler,
  schedule: StageSchedule,
  totalSteps: number,
  flops: LayerFlops,
): number {
  takesRelativeRunCost(sampler, schedule, totalSteps, flops);

  const layers = schedule.stageLayers.at(-1) as number;
  const ends = [...schedule.boundaries.map((step) => Math.min(step, totalSteps)), totalSteps];
  let sum = 0;
  schedule.stageLayers.forEach((trainedLayers, stage) => {
    const begin = stage === 0 ? 0 : (ends[stage - 1] as number);
    sum += ((ends[stage] as number) - begin) * relativeCost(sampler, trainedLayers, layers, flops);
  });
  return sum / totalSteps;
}
