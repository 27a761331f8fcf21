/**
 * Apollo (Pan et al., "Preparing Lessons for Progressive Training on Language Models", AAAI 2024): few trained layers
 * at first, run at a sampled depth by sharing their weights, and copied through the same map when a stage ends.
 */
import { z } from 'zod';
import { ApolloError } from '../errors.js';
import {
  type DepthSampler,
  defaultFractions,
  defaultUnits,
  depthStream,
  expansions,
  Mt19937,
  makeSampler,
  makeSchedule,
  samplers,
  uniformNumber,
} from '../growth/index.js';
import { identityMap, type LayerCopy, type MomentRule, type TrainingMethod } from './method.js';
import { commonOptions, parseOptions, positiveInteger } from './options.js';

const keysOf = <Key extends string>(record: Record<Key, unknown>) => Object.keys(record) as [Key, ...Key[]];

const boundariesSchema = z
  .strictObject({
    /** Ends of the stages as fractions of the run's steps. */
    fractions: z.array(z.number().min(0).max(1)).optional(),
    /** In epochs, with the steps of one epoch. */
    epochs: z.array(z.number().min(0)).optional(),
    stepsPerEpoch: positiveInteger.optional(),
    /** In optimizer steps. */
    steps: z.array(z.int().min(0)).optional(),
    /** In tokens seen, with the tokens of one step. */
    tokens: z.array(z.number().min(0)).optional(),
    tokensPerStep: positiveInteger.optional(),
  })
  .transform((given, context) => {
    const { fractions, epochs, stepsPerEpoch, steps, tokens, tokensPerStep } = given;
    if ([fractions, epochs, steps, tokens].filter(Boolean).length === 1) {
      if (fractions) return { fractions };
      if (steps) return { steps };
      if (epochs && stepsPerEpoch) return { epochs, stepsPerEpoch };
      if (tokens && tokensPerStep) return { tokens, tokensPerStep };
    }
    context.addIssue({
      code: 'custom',
      message: 'expected one of { fractions }, { epochs, stepsPerEpoch }, { steps }, { tokens, tokensPerStep }',
    });
    return z.NEVER;
  });

const schema = z.strictObject({
  ...commonOptions,
  /** Trained layers of each stage. Default: each a divisor of the next, 12 layers -> [1, 3, 6, 12]. */
  units: z.array(positiveInteger).min(1).optional(),
  /** Where stages end. Default: 5 %, 10 % and 25 % of the steps. */
  boundaries: boundariesSchema.optional(),
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
  /**
   * Optimizer state at a switch. 'copy': goes with the weights. 'release': as the released code leaves it, new layers
   * fresh and old ones with the moments they had. 'reset': all layers fresh. 'copyScaled': as 'copy', m and v scaled by
   * the change in how often a layer is used.
   */
  moments: z.enum(['copy', 'release', 'reset', 'copyScaled']).default('copy'),
  /** Source of the depths: 'philox', a function of (seed, step), or 'release', the released code's Python stream. */
  stream: z.enum(['philox', 'release']).default('philox'),
});
export type ApolloOptions = z.input<typeof schema>;
type MomentOption = z.output<typeof schema>['moments'];

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
 * How the moments of layer `to` follow when its weights come from layer `from`; undefined when nothing is to be done.
 * `scale` is the ratio of uses per layer after and before the switch: a layer's gradient is the sum over its uses.
 */
function momentRule(
  option: MomentOption,
  from: number,
  to: number,
  unitsBefore: number,
  scale: number,
): MomentRule | undefined {
  switch (option) {
    case 'copy':
      return from === to ? undefined : 'copy';
    case 'release':
      if (from === to) return undefined;
      return to >= unitsBefore ? 'zero' : 'keep';
    case 'reset':
      return 'zero';
    case 'copyScaled':
      return { m: scale, v: scale * scale };
  }
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
  const settings = parseOptions('apollo', schema, { ...parsed, units, boundaries });
  const { layers, totalSteps, seed } = settings;
  const schedule = makeSchedule({ units, boundaries, totalSteps });
  if (units.at(-1) !== layers) {
    throw new ApolloError(
      'BAD_CONFIG',
      `apollo.units: the last stage must train all ${layers} layers; got [${units.join(', ')}].`,
    );
  }
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
      const copies: LayerCopy[] = [];
      // From the top down: map[j] <= j for every expansion, so a layer is read before it is overwritten.
      expand(from.units, to.units).forEach((source, target) => {
        const moments = momentRule(settings.moments, source, target, from.units, scale);
        if (moments !== undefined) copies.unshift({ from: source, to: target, moments });
      });
      return { kind: 'layers', from: from.units, to: to.units, copies };
    },
  };
}
