/** The learning rate after a growth by copying layers: keep it, warm up again, or rewind. */
import { z } from 'zod';
import { ApolloError } from '../errors.js';
import { type LayerMap, rewarmFactor } from '../growth/index.js';
import type { StepPlan } from './method.js';

/** Settings of a method that grows. */
export const growthRateOptions = {
  /** Steps over which the learning rate rises again after each growth; 0: it does not. Default: 0. */
  rewarmSteps: z.int().min(0).default(0),
  /** Whose rate: that of all parameters, or of the new layers alone. Default: 'all'. */
  rewarm: z.enum(['all', 'new']).default('all'),
  /** Where it rises to, as a factor on the schedule; from there it falls back to 1 over ten times as many steps. Default: 1. */
  rewarmPeak: z.number().min(1).default(1),
  /** Whether the schedule restarts at each growth, from its peak and over the steps that are left. Default: false. */
  rewind: z.boolean().default(false),
};
/** What the learning rate does after a growth. */
export interface GrowthRate extends z.output<z.ZodObject<typeof growthRateOptions>> {}

/** @throws ApolloError BAD_CONFIG for a peak that nothing rises to, or new layers whose rate does not rise. */
export function checkRate(
  owner: string,
  { rewarmSteps = 0, rewarmPeak = 1, rewarm, rewind }: Partial<GrowthRate>,
): void {
  if (rewarm === 'new' && rewarmSteps === 0) {
    throw new ApolloError(
      'BAD_CONFIG',
      `${owner}.rewarm: "new" has no effect without rewarmSteps. Give ${owner}.rewarmSteps, or remove it.`,
    );
  }
  if (rewarmPeak === 1) return;
  const reason =
    rewarmSteps === 0
      ? 'it has no effect without rewarmSteps'
      : rewind && rewarm === 'all'
        ? 'it has no effect with rewind, which rises to the peak of the schedule'
        : undefined;
  if (reason !== undefined) throw new ApolloError('BAD_CONFIG', `${owner}.rewarmPeak: ${reason}. Remove one of them.`);
}

/** The last growth before a step. */
export interface LastGrowth {
  /** Trained layers before it. */
  readonly from: number;
  /** First step after it. */
  readonly since: number;
  /** First step after the next growth; absent after the last. */
  readonly until?: number | undefined;
  /** Which old layer each layer became a copy of. */
  readonly map: LayerMap;
}

/** Whether each layer of a growth is a further copy: the first copy of a layer counts as that layer. */
export function newLayers(map: LayerMap): boolean[] {
  return map.map((from, to) => map.indexOf(from) !== to);
}

/** The factor `into` steps after a growth (0-based). */
function factorOf(into: number, { rewarmSteps, rewarmPeak }: GrowthRate): number {
  if (rewarmSteps === 0) return 1;
  if (into < rewarmSteps) return rewarmPeak * rewarmFactor(into, rewarmSteps);
  return 1 + (rewarmPeak - 1) * Math.max(0, 1 - (into + 1 - rewarmSteps) / (10 * rewarmSteps));
}

/** The part of a step's plan that follows from the last growth; empty before the first and when nothing differs. */
export function rateAfterGrowth(
  step: number,
  options: GrowthRate,
  growth: LastGrowth | undefined,
): Pick<StepPlan, 'learningRate' | 'layerRates'> {
  if (!growth) return {};
  const { since, map } = growth;
  const { rewarm, rewarmSteps, rewind } = options;
  const factor = factorOf(step - since, options);
  if (rewarm === 'new') {
    const layerRates = newLayers(map).map((isNew) => (isNew ? factor : 1));
    return {
      ...(rewind && { learningRate: { since, warmupSteps: 0 } }),
      ...(factor !== 1 && { layerRates }),
    };
  }
  if (rewind) return { learningRate: { since, warmupSteps: rewarmSteps } };
  return factor === 1 ? {} : { learningRate: { factor } };
}
