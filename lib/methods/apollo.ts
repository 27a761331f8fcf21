/**
 * Apollo (Pan et al., "Preparing Lessons for Progressive Training on Language Models", AAAI 2024): few trained layers
 * at first, run at a sampled depth by sharing their weights, and copied through the same map when a stage ends.
 */
import { z } from 'zod';
import {
  type DepthSampler,
  defaultFractions,
  defaultUnits,
  depthStream,
  expansions,
  Mt19937,
  makeSampler,
  samplers,
  uniformNumber,
} from '../growth/index.js';
import { identityMap, type TrainingMethod } from './method.js';
import { layerCopies, momentOption } from './moments.js';
import { commonOptions, parseOptions } from './options.js';
import { scheduleOf, stageOptions } from './stages.js';

const keysOf = <Key extends string>(record: Record<Key, unknown>) => Object.keys(record) as [Key, ...Key[]];

const schema = z.strictObject({
  ...commonOptions,
  /** Trained layers of each stage. Default: each a divisor of the next, 12 layers -> [1, 3, 6, 12]. */
  units: stageOptions.units.optional(),
  /** Where stages end. Default: 5 %, 10 % and 25 % of the steps. */
  boundaries: stageOptions.boundaries.optional(),
  sampler: z.enum(keysOf(samplers)).default('lvps'),
  /** Constants of lvps and edge; see growth/samplers.ts. */
  samplerShape: z
    .strictObject({
      excess: z.number().positive().optional(),
      end: z.number().positive().max(1).optional(),
      slope: z.number().positive().optional(),
    })
    .default({}),
  expansion: z.enum(keysOf(expansions)).default('interpolate'),
  /** Optimizer state at a switch. */
  moments: momentOption.default('copy'),
  /** Source of the depths: 'philox', a function of (seed, step), or 'release', the released code's Python stream. */
  stream: z.enum(['philox', 'release']).default('philox'),
});
export type ApolloOptions = z.input<typeof schema>;

/** The k-th number of the released code's stream, for any k; numbers drawn once are kept. */
function releasedStream(seed: number): (step: number) => number {
  const random = new Mt19937(seed);
  const drawn: number[] = [];
  return (step) => {
    while (drawn.length <= step) drawn.push(random.next());
    return drawn[step] as number;
  };
}

/**
 * The method with its settings; stages default to the paper's fractions of the run.
 * @example apollo({ layers: 12, totalSteps: 10_000, seed: 42 })
 * @throws ApolloError BAD_CONFIG naming the setting that is wrong, BAD_ARGUMENT for stages that do not fit together.
 */
export function apollo(options: ApolloOptions): TrainingMethod {
  const parsed = parseOptions('apollo', schema, options);
  const units = parsed.units ?? defaultUnits(parsed.layers);
  const boundaries = parsed.boundaries ?? { fractions: defaultFractions(units.length) };
  const settings = { ...parsed, units, boundaries };
  const { layers, seed } = settings;
  const schedule = scheduleOf('apollo', settings);
  const sampler: DepthSampler = makeSampler(settings.sampler, settings.samplerShape);
  const expand = expansions[settings.expansion];
  const draw =
    settings.stream === 'release' ? releasedStream(seed) : (step: number) => uniformNumber(seed, depthStream, step);
  const usesPerLayer = (count: number) => sampler.expectedDepth(count, layers) / count;

  return {
    name: 'apollo',
    layers,
    settings,
    stageAt: (step) => schedule.stageAt(step),
    plan(step) {
      const count = schedule.stageAt(step).units;
      const depth = sampler.sample(draw(step), count, layers);
      return { units: count, depth, layerMap: expand(count, depth) };
    },
    evaluationMaps(step) {
      const count = schedule.stageAt(step).units;
      return { full: expand(count, layers), stage: identityMap(count) };
    },
    growth(step) {
      const to = schedule.stageAt(step);
      const from = schedule.stageAt(Math.max(0, step - 1));
      if (from.index === to.index) return undefined;
      const scale = usesPerLayer(to.units) / usesPerLayer(from.units);
      const copies = layerCopies(expand(from.units, to.units), { moments: settings.moments, from: from.units, scale });
      return { kind: 'layers', from: from.units, to: to.units, copies };
    },
  };
}
