/**
 * G_stack (Du et al., "Stacking Your Transformers", NeurIPS 2024): a small model is trained briefly and its layers are
 * stacked several times, once; a growth factor of about 4 is what its authors recommend.
 */
import { z } from 'zod';
import { ApolloError } from '../errors.js';
import { stackModulo } from '../growth/index.js';
import { depthGrowth } from './depth-growth.js';
import { calibrateOption, checkCalibration, gateOptions } from './gates.js';
import { growthRateOptions } from './growth-rate.js';
import type { MethodContext, TrainingMethod } from './method.js';
import { momentOption } from './moments.js';
import { commonOptions, parseOptions } from './options.js';
import { boundariesSchema, scheduleOf } from './stages.js';

const schema = z.strictObject({
  ...commonOptions,
  /** Copies of the small model in the finished one; must divide its layers. Default: 4, or 3 or 2 where that divides. */
  factor: z.int().min(2).optional(),
  /** Where the small model ends. Default: 10 % of the steps. */
  boundaries: boundariesSchema.default({ fractions: [0.1] }),
  /** Optimizer state at the growth; 'reset' starts with a fresh optimizer, as the released code does. Default: 'reset'. */
  moments: momentOption.default('reset'),
  ...growthRateOptions,
  ...gateOptions,
  ...calibrateOption,
});
/**
 * Settings of the method `gstack`, see docs/methods.
 * @example
 * const options: GStackOptions = { layers: 12, totalSteps: 10_000, seed: 42, factor: 4 };
 */
export interface GStackOptions extends z.input<typeof schema> {}

/** @throws ApolloError BAD_CONFIG naming the setting that is wrong. */
export function gstack(options: GStackOptions, context: MethodContext = {}): TrainingMethod {
  const parsed = parseOptions('gstack', schema, options);
  const { layers, moments } = parsed;
  const factor = parsed.factor ?? [4, 3, 2].find((divisor) => layers % divisor === 0) ?? 2;
  const settings = { ...parsed, factor };
  if (layers % factor !== 0) {
    throw new ApolloError('BAD_CONFIG', `gstack.factor: must divide the ${layers} layers; got ${factor}.`);
  }
  checkCalibration('gstack', settings, context);
  return {
    name: 'gstack',
    layers,
    settings,
    ...depthGrowth({
      schedule: scheduleOf('gstack', { ...settings, stageLayers: [layers / factor, layers] }),
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
