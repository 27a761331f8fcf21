/**
 * Late expansion (arXiv 2511.04981): a very shallow network is trained at a constant learning rate and expanded to all
 * layers at once, as late as the mixing time allows: the decay of the learning rate starts when the loss of the grown
 * network has reached that of one that had all layers from the start.
 */
import { z } from 'zod';
import { ApolloError } from '../errors.js';
import { stackModulo } from '../growth/index.js';
import { depthGrowth } from './depth-growth.js';
import { calibrateOption, checkCalibration, gateOptions } from './gates.js';
import { growthRateOptions } from './growth-rate.js';
import type { MethodContext, TrainingMethod } from './method.js';
import { momentOption } from './moments.js';
import { commonOptions, parseOptions, positiveInteger } from './options.js';
import { scheduleOf } from './stages.js';

/** The error where `mixingSteps` is missing, which has no default. */
const missing = 'expected the mixing time in steps, as two pilot runs measure it (docs/methods/dpt.md)';

const schema = z.strictObject({
  ...commonOptions,
  /** Layers before the expansion, fewer than all. Default: 1. */
  from: positiveInteger.default(1),
  /** The mixing time in steps, as growth/mixing.ts measures it in two pilot runs; see docs/methods/dpt.md. */
  mixingSteps: z.int({ error: ({ input }) => (input === undefined ? missing : undefined) }).min(1),
  /** Share of the steps in which the learning rate decays at the end; that of the run's schedule. In [0, 1). Default: 0.2. */
  decay: z.number().min(0).lt(1).default(0.2),
  /** Optimizer state at the expansion, see `MomentOption`. Default: 'old-kept-new-zero'. */
  moments: momentOption.default('old-kept-new-zero'),
  ...growthRateOptions,
  ...gateOptions,
  ...calibrateOption,
});
/**
 * Settings of the method `dpt`, see docs/methods.
 * @example
 * const options: DptOptions = { layers: 12, totalSteps: 10_000, seed: 42, mixingSteps: 2000 };
 */
export interface DptOptions extends z.input<typeof schema> {}

/**
 * The method with its settings. It grows at T - Tc - t_mix: total steps less those of the decay and the mixing time.
 * @throws ApolloError BAD_CONFIG naming the setting that is wrong, or when mixing takes more than half of the run.
 */
export function dpt(options: DptOptions, context: MethodContext = {}): TrainingMethod {
  const settings = parseOptions('dpt', schema, options);
  const { layers, totalSteps, from, mixingSteps, decay, moments } = settings;
  if (from >= layers) {
    throw new ApolloError('BAD_CONFIG', `dpt.from: must be less than the ${layers} layers; got ${from}.`);
  }
  const step = totalSteps - Math.round(decay * totalSteps) - mixingSteps;
  if (2 * mixingSteps > totalSteps || step < 1) {
    throw new ApolloError(
      'BAD_CONFIG',
      `dpt.mixingSteps: ${mixingSteps} of ${totalSteps} steps. The method pays where mixing takes at most half of the run ` +
        'and ends before the decay: train longer, start with more layers (from), or use midas or gstack.',
    );
  }
  checkCalibration('dpt', settings, context);
  return {
    name: 'dpt',
    layers,
    settings,
    ...depthGrowth({
      schedule: scheduleOf('dpt', { ...settings, stageLayers: [from, layers], boundaries: { steps: [step] } }),
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
