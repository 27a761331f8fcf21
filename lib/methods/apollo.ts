/**
 * Apollo (Pan et al., "Preparing Lessons for Progressive Training on Language Models", AAAI 2024): few trained layers
 * at first, run at a sampled depth by sharing their weights, and copied through the same map when a stage ends.
 */
import { z } from 'zod';
import { ApolloError } from '../errors.js';
import {
  type CurveRule,
  curveBoundaries,
  type DepthSampler,
  defaultFractions,
  defaultStageLayers,
  depthStream,
  expansions,
  type LayerFlops,
  Mt19937,
  makeSampler,
  makeSchedule,
  relativeCost,
  type StageSchedule,
  samplers,
  uniformNumber,
} from '../growth/index.js';
import { headFlops, layerFlops } from '../models/index.js';
import { growthAt, lastGrowth } from './depth-growth.js';
import { gatedPlan, gateOptions, gatesAfterGrowth } from './gates.js';
import { growthRateOptions, rateAfterGrowth } from './growth-rate.js';
import { identityMap, type MethodContext, type TrainingMethod } from './method.js';
import { momentOption } from './moments.js';
import { commonOptions, parseOptions } from './options.js';
import { scheduleOf, stageOptions } from './stages.js';

const keysOf = <Key extends string>(record: Record<Key, unknown>) => Object.keys(record) as [Key, ...Key[]];

const schema = z.strictObject({
  ...commonOptions,
  /** Trained layers of each stage. Default: each a divisor of the next, 12 layers -> [1, 3, 6, 12]. */
  stageLayers: stageOptions.stageLayers.optional(),
  /**
   * Where stages end; with `curve` the latest that they end. Default: for four stages 5 %, 10 % and 25 % of the steps
   * (`defaultFractions`), with `curve` twice as much.
   */
  boundaries: stageOptions.boundaries.optional(),
  /** Stages end by the training loss, at the latest at their boundaries (`curveBoundaries`). Default: at the boundaries. */
  curve: z
    .strictObject({
      /** Length of a window of losses, as a share of the steps; above 0, at most 0.5. Default: 0.0125. */
      window: z.number().gt(0).max(0.5).default(0.0125),
      /** Factor on the promise of the next stage, above 0: above 1 stages end sooner. Default: 1. */
      margin: z.number().positive().default(1),
    })
    .optional(),
  /** How the depth of a step is drawn between the trained layers and all layers, see `makeSampler`. Default: 'lvps'. */
  sampler: z.enum(keysOf(samplers)).default('lvps'),
  /** Constants of the samplers 'lvps', 'edge' and 'cost'. */
  samplerShape: z
    .strictObject({
      /** 'lvps' and 'edge': how far multipliers go above layers / trained layers; above 0. Default: 0.4. */
      excess: z.number().positive().optional(),
      /** 'lvps' and 'edge': lower end of the multipliers, in (0, 1]; lower is cheaper. Default: 0.6. */
      end: z.number().positive().max(1).optional(),
      /** 'edge': steepness of the logistic curve, above 0. Default: 20. */
      slope: z.number().positive().optional(),
      /** 'cost': what a step costs at any depth, 0 or more. Default: FLOPs of the model's head. */
      fixed: z.number().min(0).optional(),
      /** 'cost': what each layer adds to that, above 0. Default: FLOPs of a layer of the model. */
      layer: z.number().positive().optional(),
      /** 'cost': how strongly cheap depths are preferred; 0 does not prefer them. Default: 2. */
      power: z.number().min(0).optional(),
    })
    .default({}),
  /** Which trained layer is at each place of a deeper network, see `expansions`. Default: 'interpolate'. */
  expansion: z.enum(keysOf(expansions)).default('interpolate'),
  /** Optimizer state at a growth, see `MomentOption`. Default: 'copy'. */
  moments: momentOption.default('copy'),
  ...growthRateOptions,
  ...gateOptions,
  /** Source of the depths: 'philox', a function of (seed, step), or 'release', the released code's Python stream. Default: 'philox'. */
  stream: z.enum(['philox', 'release']).default('philox'),
});
/**
 * Settings of the method `apollo`, see docs/methods.
 * @example
 * const options: ApolloOptions = { layers: 12, totalSteps: 10_000, seed: 42, sampler: 'edge' };
 */
export interface ApolloOptions extends z.input<typeof schema> {}

/** The k-th number of the released code's stream, for any k; numbers drawn once are kept. */
function releasedStream(seed: number): (step: number) => number {
  const random = new Mt19937(seed);
  const drawn: number[] = [];
  return (step) => {
    while (drawn.length <= step) drawn.push(random.next());
    return drawn[step] as number;
  };
}

/** FLOPs of a layer and of the head, of which only the ratio matters; without a model the layers alone count. */
function flopsOf({ model }: MethodContext): LayerFlops {
  return model ? { layer: layerFlops(model, model.maxPositions), head: headFlops(model) } : { layer: 1, head: 0 };
}

/**
 * The method with its settings; stages default to the paper's fractions of the run. `context.model` gives the costs that
 * `curve` and the sampler `cost` weigh; without it they count layers alone.
 * @example apollo({ layers: 12, totalSteps: 10_000, seed: 42 })
 * @throws ApolloError BAD_CONFIG naming the setting that is wrong, BAD_ARGUMENT for stages that do not fit together.
 */
export function apollo(options: ApolloOptions, context: MethodContext = {}): TrainingMethod {
  const parsed = parseOptions('apollo', schema, options);
  const stageLayers = parsed.stageLayers ?? defaultStageLayers(parsed.layers);
  const fractions = defaultFractions(stageLayers.length).map((fraction) => (parsed.curve ? 2 * fraction : fraction));
  const boundaries = parsed.boundaries ?? { fractions };
  const flops = flopsOf(context);
  const samplerShape =
    parsed.sampler === 'cost' ? { fixed: flops.head, layer: flops.layer, ...parsed.samplerShape } : parsed.samplerShape;
  if (Object.keys(parsed.samplerShape).length > 0 && ['uniform', 'full', 'none'].includes(parsed.sampler)) {
    throw new ApolloError(
      'BAD_CONFIG',
      `apollo.samplerShape: the sampler "${parsed.sampler}" has no constants. Remove it, or use lvps, edge or cost.`,
    );
  }
  const settings = { ...parsed, stageLayers, boundaries, samplerShape };
  const schedule = scheduleOf('apollo', settings);
  const sampler = makeSampler(settings.sampler, samplerShape);
  const method = withStages(schedule, sampler, settings, context);
  if (!settings.curve) return method;
  if (settings.gate) {
    throw new ApolloError(
      'BAD_CONFIG',
      'apollo.gate: a gate must be open before the next growth, and with curve that step is not known. Give one of the two.',
    );
  }
  const { layers, totalSteps, curve } = settings;
  const rule: CurveRule = {
    window: Math.max(1, Math.round(curve.window * totalSteps)),
    costs: stageLayers.map((count) => relativeCost(sampler, count, layers, flops)),
    latest: schedule.boundaries,
    margin: curve.margin,
  };
  const after = (means: readonly number[]) =>
    withStages(
      makeSchedule({ stageLayers, boundaries: { steps: curveBoundaries(means, rule) }, totalSteps }),
      sampler,
      settings,
      context,
    );
  return { ...method, adaptive: { window: rule.window, after } };
}

type Resolved = z.output<typeof schema> & { readonly stageLayers: readonly number[] };

/** Apollo over stages that are known. */
function withStages(
  schedule: StageSchedule,
  sampler: DepthSampler,
  settings: Resolved,
  context: MethodContext,
): TrainingMethod {
  const { layers, seed } = settings;
  const expand = expansions[settings.expansion];
  const draw =
    settings.stream === 'release' ? releasedStream(seed) : (step: number) => uniformNumber(seed, depthStream, step);
  const usesPerLayer = (count: number) => sampler.expectedDepth(count, layers) / count;

  // As for a sampled depth, straight from the trained layers, without the stages that equal boundaries pass over.
  const through = (stages: readonly number[]) => expand(stages[0] as number, stages.at(-1) as number);
  const growthBefore = (step: number) => lastGrowth(step, schedule, through);
  const gatesAt = (step: number) => gatesAfterGrowth(step, growthBefore(step), settings, context);

  return {
    name: 'apollo',
    layers,
    settings,
    stageAt: (step) => schedule.stageAt(step),
    plan(step) {
      const { trainedLayers: count } = schedule.stageAt(step);
      const depth = sampler.sample(draw(step), count, layers);
      const layerMap = expand(count, depth);
      return {
        trainedLayers: count,
        depth,
        layerMap,
        ...rateAfterGrowth(step, settings, growthBefore(step)),
        ...gatedPlan(gatesAt(step), layerMap),
      };
    },
    evaluationMaps(step) {
      const count = schedule.stageAt(step).trainedLayers;
      return { full: expand(count, layers), stage: identityMap(count) };
    },
    evaluationGates: gatesAt,
    growth: (step) =>
      growthAt(step, growthBefore(step), settings.moments, (from, to) => usesPerLayer(to) / usesPerLayer(from)),
  };
}
