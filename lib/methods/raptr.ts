/**
 * RaPTr (arXiv 2402.05913, ICLR 2025): all layers from the start, but a step trains a random part of them. The first
 * and the last layer are always among them; the expected number grows from stage to stage up to all.
 */

import { z } from 'zod';
import { ApolloError } from '../errors.js';
import { boundarySteps } from '../growth/index.js';
import { uniformStreams } from '../random/streams.js';
import { identityMap, type StepPlan, type TrainingMethod } from './method.js';
import { commonOptions, parseOptions } from './options.js';
import { boundariesSchema, checkLastStart } from './stages.js';
import { keptScale, subNetworkPlan } from './sub-network.js';

const schema = z.strictObject({
  ...commonOptions,
  /** Expected layers of a step in each stage. Default: 1/2, 2/3, 5/6 and all of the layers, 12 -> [6, 8, 10, 12]. */
  depths: z.array(z.number().positive()).min(1).optional(),
  /** Where these stages end. Default: stages of equal length. */
  boundaries: boundariesSchema.optional(),
  /** Share of the steps at the start that train all layers, in [0, 1). Default: 0. */
  full: z.number().min(0).lt(1).default(0),
  /**
   * How a layer that is kept with probability p makes up for the steps without it: both residual branches times 1 / p
   * ('branches'), its whole residual times 1 / p ('layer'), or not at all ('none'). Default: 'branches'.
   */
  scale: keptScale.default('branches'),
});
/**
 * Settings of the method `raptr`, see docs/methods.
 * @example
 * const options: RaptrOptions = { layers: 12, totalSteps: 10_000, seed: 42 };
 */
export interface RaptrOptions extends z.input<typeof schema> {}

/** @throws ApolloError BAD_CONFIG naming the setting that is wrong, BAD_ARGUMENT for boundaries that do not fit. */
export function raptr(options: RaptrOptions): TrainingMethod {
  const parsed = parseOptions('raptr', schema, options);
  const { layers, seed, totalSteps, full, scale } = parsed;
  const ends = Math.min(2, layers);
  const depths = parsed.depths ?? [3, 4, 5, 6].map((sixths) => Math.max(ends, (sixths * layers) / 6));
  const equal = depths.slice(1).map((_, stage) => full + ((stage + 1) * (1 - full)) / depths.length);
  const settings = { ...parsed, depths, boundaries: parsed.boundaries ?? { fractions: equal } };
  depths.forEach((depth, stage) => {
    if (depth < ends || depth > layers) {
      throw new ApolloError(
        'BAD_CONFIG',
        `raptr.depths[${stage}]: must be between ${ends} (the first and the last layer) and ${layers}; got ${depth}.`,
      );
    }
  });
  const boundaries = boundarySteps(settings.boundaries, totalSteps);
  if (boundaries.length !== depths.length - 1) {
    throw new ApolloError(
      'BAD_CONFIG',
      `raptr.boundaries: ${depths.length} depths need ${depths.length - 1} boundaries; got ${boundaries.length}.`,
    );
  }
  checkLastStart('raptr', `the last stage, of mean depth ${depths.at(-1)},`, { ...settings, starts: boundaries });
  const fullSteps = Math.round(full * totalSteps);
  const all = identityMap(layers);
  const probabilitiesAt = (step: number): number[] => {
    const depth = step < fullSteps ? layers : (depths[boundaries.filter((end) => step >= end).length] as number);
    return all.map((layer) => (layer === 0 || layer === layers - 1 ? 1 : (depth - 2) / (layers - 2)));
  };
  return {
    name: 'raptr',
    layers,
    settings,
    stageAt: () => ({ index: 0, trainedLayers: layers }),
    plan: (step): StepPlan =>
      subNetworkPlan(probabilitiesAt(step), scale, { seed, stream: uniformStreams.subset, step }),
    evaluationMaps: () => ({ full: all, stage: all }),
    growth: () => undefined,
  };
}
