/**
 * Weight sharing, then unsharing (Yang et al., "Speeding up Deep Model Training by Sharing Weights and Then Unsharing",
 * 2021): at first all layers of the full-depth network are one, then each trains its own copy. A step costs
 * as much as one from scratch; what is saved are steps.
 */
import { z } from 'zod';
import { interpolate } from '../growth/index.js';
import { growthAt, lastGrowth } from './depth-growth.js';
import { identityMap, type TrainingMethod } from './method.js';
import { momentOption } from './moments.js';
import { commonOptions, parseOptions, positiveInteger } from './options.js';
import { boundariesSchema, scheduleOf } from './stages.js';

const schema = z.strictObject({
  ...commonOptions,
  /** Number of layers that are shared, at least 1. Default: 1. */
  trainedLayers: positiveInteger.default(1),
  /** Where sharing ends. Default: 10 % of the steps; nowhere where each layer is shared with no other. */
  boundaries: boundariesSchema.optional(),
  /** Optimizer state at the end of sharing, see `MomentOption`. Default: 'reset'. */
  moments: momentOption.default('reset'),
});
/**
 * Settings of the method `unshare`, see docs/methods.
 * @example
 * const options: UnshareOptions = { layers: 12, totalSteps: 10_000, seed: 42 };
 */
export interface UnshareOptions extends z.input<typeof schema> {}

/** @throws ApolloError BAD_CONFIG naming the setting that is wrong. */
export function unshare(options: UnshareOptions): TrainingMethod {
  const parsed = parseOptions('unshare', schema, options);
  const { layers, trainedLayers, moments } = parsed;
  const stageLayers = trainedLayers < layers ? [trainedLayers, layers] : [trainedLayers];
  const settings = { ...parsed, boundaries: parsed.boundaries ?? { fractions: stageLayers.length > 1 ? [0.1] : [] } };
  const schedule = scheduleOf('unshare', { ...settings, stageLayers });
  const shared = interpolate(trainedLayers, layers);
  const own = identityMap(layers);
  const mapAt = (step: number) => (schedule.stageAt(step).index === 0 ? shared : own);
  return {
    name: 'unshare',
    layers,
    settings,
    stageAt: (step) => schedule.stageAt(step),
    plan: (step) => ({ trainedLayers: schedule.stageAt(step).trainedLayers, depth: layers, layerMap: mapAt(step) }),
    evaluationMaps: (step) => ({ full: mapAt(step), stage: mapAt(step) }),
    growth: (step) =>
      growthAt(
        step,
        lastGrowth(step, schedule, () => shared),
        moments,
        (from, to) => from / to,
      ),
  };
}
