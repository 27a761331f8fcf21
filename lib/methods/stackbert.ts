/**
 * StackBERT (Gong et al., "Efficient Training of BERT by Progressively Stacking", ICML 2019): a shallow model is trained,
 * then doubled by stacking a copy of its layers on top of them, until the depth is reached.
 */
import { z } from 'zod';
import { stackModulo } from '../growth/index.js';
import { depthGrowth } from './depth-growth.js';
import { calibrateOption, checkCalibration, gateOptions } from './gates.js';
import { growthRateOptions } from './growth-rate.js';
import type { MethodContext, TrainingMethod } from './method.js';
import { momentOption } from './moments.js';
import { commonOptions, parseOptions } from './options.js';
import { scheduleOf, stageOptions } from './stages.js';

/** 50, 70 and 280 thousand of the released code's 400 thousand updates. */
const releasedFractions = [0.125, 0.3];

/** Settings of methods that grow by stacking. */
export const stackingOptions = {
  ...commonOptions,
  /** Trained layers of each stage. Default: halved twice where that goes, 12 layers -> [3, 6, 12]. */
  stageLayers: stageOptions.stageLayers.optional(),
  /** Where stages end. Default: 12.5 % and 30 % of the steps; with two stages 30 %. */
  boundaries: stageOptions.boundaries.optional(),
  /** Optimizer state at a doubling; 'reset', as the released script has it, also clears that of embeddings and head. Default: 'reset'. */
  moments: momentOption.default('reset'),
  ...growthRateOptions,
  ...gateOptions,
  ...calibrateOption,
};
const schema = z.strictObject(stackingOptions);
/**
 * Settings of the method `stackbert`, see docs/methods.
 * @example
 * const options: StackBertOptions = { layers: 12, totalSteps: 10_000, seed: 42, stageLayers: [3, 6, 12], boundaries: { fractions: [0.2, 0.4] } };
 */
export interface StackBertOptions extends z.input<typeof schema> {}

/** Halves while the number is even, at most twice. */
function halvings(layers: number): number[] {
  const stageLayers = [layers];
  while (stageLayers.length < 3 && (stageLayers[0] as number) % 2 === 0)
    stageLayers.unshift((stageLayers[0] as number) / 2);
  return stageLayers;
}

/** @throws ApolloError BAD_CONFIG naming the setting that is wrong, BAD_ARGUMENT for stages that do not fit together. */
export function stackbert(options: StackBertOptions, context: MethodContext = {}): TrainingMethod {
  const parsed = parseOptions('stackbert', schema, options);
  const stageLayers = parsed.stageLayers ?? halvings(parsed.layers);
  const boundaries = parsed.boundaries ?? { fractions: releasedFractions.slice(Math.max(0, 3 - stageLayers.length)) };
  return stacking('stackbert', { ...parsed, stageLayers, boundaries }, context);
}

type Parsed = z.output<typeof schema>;
/** Settings with the stages that they leave to the method. */
type StackingSettings = Parsed & { [Name in 'stageLayers' | 'boundaries']: NonNullable<Parsed[Name]> };

/** The method `name` that grows by stacking through the stages of its settings. */
export function stacking(name: string, settings: StackingSettings, context: MethodContext): TrainingMethod {
  const { moments } = settings;
  checkCalibration(name, settings, context);
  return {
    name,
    layers: settings.layers,
    settings,
    ...depthGrowth({
      schedule: scheduleOf(name, settings),
      map: stackModulo,
      moments,
      rate: settings,
      gate: settings,
      calibrate: settings.calibrate,
      context,
      shared: moments === 'reset' ? 'zero' : 'keep',
    }),
  };
}
