/** Shared code of MIDAS and LIDAS: stages of one more block each, with lengths in proportion to i^alpha. */
import { z } from 'zod';
import { ApolloError } from '../errors.js';
import { type Expansion, proportionalFractions } from '../growth/index.js';
import { depthGrowth } from './depth-growth.js';
import { calibrateOption, checkCalibration, gateOptions } from './gates.js';
import { growthRateOptions } from './growth-rate.js';
import type { MethodContext, TrainingMethod } from './method.js';
import { momentOption } from './moments.js';
import { commonOptions, parseOptions, positiveInteger } from './options.js';
import { boundariesSchema, scheduleOf } from './stages.js';

const middleGrowthSchema = z.strictObject({
  ...commonOptions,
  /**
   * Layers that each growth adds, and the first stage has; must divide the layers. Default: for four
   * stages, where that goes, else for three, for two or for as many as there are layers.
   */
  block: positiveInteger.optional(),
  /** Stage i, counted from 1, takes a share of the steps in proportion to i^alpha (Prop-alpha). 0 or more. Default: 1. */
  alpha: z.number().min(0).default(1),
  /** Where stages end, in place of `alpha`. Default: by `alpha`. */
  boundaries: boundariesSchema.optional(),
  /** Optimizer state at a growth, see `MomentOption`. Default: 'old-kept-new-zero'. */
  moments: momentOption.default('old-kept-new-zero'),
  ...growthRateOptions,
  ...gateOptions,
  ...calibrateOption,
});
export interface MiddleGrowthOptions extends z.input<typeof middleGrowthSchema> {}

/** @throws ApolloError BAD_CONFIG naming the setting that is wrong, BAD_ARGUMENT for stages that do not fit together. */
export function middleGrowth(
  name: string,
  options: MiddleGrowthOptions,
  rule: { readonly map: (block: number) => Expansion; readonly block: (layers: number) => number },
  context: MethodContext,
): TrainingMethod {
  const parsed = parseOptions(name, middleGrowthSchema, options);
  const { layers, alpha, moments } = parsed;
  const block = parsed.block ?? rule.block(layers);
  if (layers % block !== 0) {
    throw new ApolloError('BAD_CONFIG', `${name}.block: must divide the ${layers} layers; got ${block}.`);
  }
  const stageLayers = Array.from({ length: layers / block }, (_, stage) => (stage + 1) * block);
  const boundaries = parsed.boundaries ?? { fractions: proportionalFractions(stageLayers.length, alpha) };
  const settings = { ...parsed, block, boundaries };
  checkCalibration(name, settings, context);
  return {
    name,
    layers,
    settings,
    ...depthGrowth({
      schedule: scheduleOf(name, { ...settings, stageLayers }),
      map: rule.map(block),
      moments,
      rate: settings,
      gate: settings,
      calibrate: settings.calibrate,
      context,
      shared: moments === 'reset' ? 'zero' : 'keep',
    }),
  };
}
