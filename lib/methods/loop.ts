/**
 * Loop, then untie: a block of layers in the middle is run twice for a while, with one set of weights, and then becomes
 * two blocks of equal weights, which leaves the network as it was. This repeats up to the full depth.
 */
import { z } from 'zod';
import { ApolloError } from '../errors.js';
import { boundarySteps, growThrough, type LayerMap, repeatNewMiddle } from '../growth/index.js';
import { growthAt, lastGrowth } from './depth-growth.js';
import { growthRateOptions, rateAfterGrowth } from './growth-rate.js';
import { identityMap, type TrainingMethod } from './method.js';
import { momentOption } from './moments.js';
import { commonOptions, parseOptions, positiveInteger } from './options.js';
import { boundariesSchema, scheduleOf } from './stages.js';

const schema = z.strictObject({
  ...commonOptions,
  /** Layers of a block; must divide the layers. Default: 2, for an odd number of layers 1. */
  block: positiveInteger.optional(),
  /** Layers at the start, whole blocks. Default: half of the layers. */
  from: positiveInteger.optional(),
  /**
   * For each block: the step at which it starts to run twice, and the step at which it becomes two. Default: evenly from
   * 20 to 60 % of the steps.
   */
  boundaries: boundariesSchema.optional(),
  /** Optimizer state of the two blocks, see `MomentOption`. Default: 'copy'. */
  moments: momentOption.default('copy'),
  ...growthRateOptions,
});
/**
 * Settings of the method `loop`, see docs/methods.
 * @example
 * const options: LoopOptions = { layers: 12, totalSteps: 10_000, seed: 42 };
 */
export interface LoopOptions extends z.input<typeof schema> {}

/** `count` fractions from 0.2 to 0.6. */
function evenly(count: number): number[] {
  return Array.from({ length: count }, (_, i) => (2 + (4 * i) / (count - 1)) / 10);
}

/** @throws ApolloError BAD_CONFIG naming the setting that is wrong, BAD_ARGUMENT for boundaries that do not fit. */
export function loop(options: LoopOptions): TrainingMethod {
  const parsed = parseOptions('loop', schema, options);
  const { layers, totalSteps, moments } = parsed;
  if (moments === 'copyScaled') {
    throw new ApolloError(
      'BAD_CONFIG',
      "loop.moments: 'copyScaled' scales by one change in use for all layers, and here it differs between layers. Use 'copy'.",
    );
  }
  const block = parsed.block ?? (layers % 2 === 0 ? 2 : 1);
  const from = parsed.from ?? block * Math.ceil(layers / block / 2);
  if (layers % block !== 0 || from % block !== 0 || from > layers) {
    throw new ApolloError(
      'BAD_CONFIG',
      `loop.block: must divide the ${layers} layers and the ${from} at the start (from), and be at most that; got ${block}.`,
    );
  }
  const stageLayers = Array.from({ length: (layers - from) / block + 1 }, (_, stage) => from + stage * block);
  const boundaries = parsed.boundaries ?? { fractions: evenly(2 * (stageLayers.length - 1)) };
  const settings = { ...parsed, block, from, boundaries };
  const steps = boundarySteps(boundaries, totalSteps);
  if (steps.length !== 2 * (stageLayers.length - 1)) {
    throw new ApolloError(
      'BAD_CONFIG',
      `loop.boundaries: ${stageLayers.length - 1} growths from ${from} to ${layers} layers need two boundaries each; got ${steps.length}.`,
    );
  }
  const begins = steps.filter((_, i) => i % 2 === 0);
  const schedule = scheduleOf('loop', {
    ...settings,
    stageLayers,
    boundaries: { steps: steps.filter((_, i) => i % 2 === 1) },
  });
  const map = repeatNewMiddle(block);
  const through = (stages: readonly number[]) => growThrough(stages, map);
  const growthBefore = (step: number) => lastGrowth(step, schedule, through);
  const full = stageLayers.map((_, stage) => through(stageLayers.slice(stage)));
  const mapAt = (step: number): LayerMap => {
    const { index, trainedLayers: count } = schedule.stageAt(step);
    return step >= (begins[index] ?? Number.POSITIVE_INFINITY) ? map(count, count + block) : identityMap(count);
  };
  return {
    name: 'loop',
    layers,
    settings,
    stageAt: (step) => schedule.stageAt(step),
    plan(step) {
      const layerMap = mapAt(step);
      const { trainedLayers: count } = schedule.stageAt(step);
      const rate = rateAfterGrowth(step, settings, growthBefore(step));
      return { trainedLayers: count, depth: layerMap.length, layerMap, ...rate };
    },
    evaluationMaps: (step) => ({ full: full[schedule.stageAt(step).index] as LayerMap, stage: mapAt(step) }),
    growth: (step) => growthAt(step, growthBefore(step), moments),
  };
}
