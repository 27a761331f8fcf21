/** Shared code of methods that grow by copying layers and run only the layers that they train. */

import { check } from '../errors.js';
import { type Expansion, growThrough, type LayerMap, type StageSchedule } from '../growth/index.js';
import * as is from '../is.js';
import { type GrowthGate, gatedPlan, gatesAfterGrowth } from './gates.js';
import { type GrowthRate, type LastGrowth, rateAfterGrowth } from './growth-rate.js';
import { identityMap, type LayerGrowth, type MethodContext, type TrainingMethod } from './method.js';
import { layerCopies, type MomentOption, momentOption } from './moments.js';

/** What {@link depthGrowth} makes the parts of a method from. */
export interface DepthGrowth {
  /** Trained layers of each stage and the steps at which stages end, from `makeSchedule`. */
  readonly schedule: StageSchedule;
  /** Which old layer each layer of the next stage is a copy of. */
  readonly map: Expansion;
  /** What becomes of the optimizer's state when layers are copied. */
  readonly moments: MomentOption;
  /** Change of the learning rate after a growth; default: none. */
  readonly rate?: GrowthRate;
  /** How new layers enter; default: at once. */
  readonly gate?: GrowthGate;
  /** Whether the residual stream keeps its size, see LayerGrowth; not with a gate. */
  readonly calibrate?: boolean;
  /** Context with the family of the model, which decides what is gated. */
  readonly context?: MethodContext;
  /** Rule for the moments of embeddings, final norm and head; default: they stay. */
  readonly shared?: LayerGrowth['shared'];
}

const takesDepthGrowth = is.takes('depthGrowth', {
  options: is.options({
    schedule: is.object('a StageSchedule (from makeSchedule)', {
      stageLayers: is.list(is.count, { least: 1 }),
      boundaries: is.list(is.number),
      stageAt: is.func,
    }),
    map: is.func,
    moments: is.oneOf(...momentOption.options),
    rate: is.optional(
      is.object('a GrowthRate { rewarmSteps, rewarm, rewarmPeak, rewind }', {
        rewarmSteps: is.index,
        rewarm: is.oneOf('all', 'new'),
        rewarmPeak: is.positive,
        rewind: is.boolean,
      }),
    ),
    gate: is.optional(
      is.object('a GrowthGate { gate, totalSteps }', {
        gate: is.optional(is.object('a gate { share }', { share: is.positive })),
        totalSteps: is.count,
      }),
    ),
    calibrate: is.optional(is.boolean),
    context: is.optional(is.options({ model: is.optional(is.modelConfig), tokensPerStep: is.optional(is.positive) })),
    shared: is.optional(is.oneOf('keep', 'zero')),
  }),
});

/**
 * The parts of a method that follow from its schedule and map; each step runs the trained layers.
 * @example
 * const schedule = makeSchedule({ stageLayers: [6, 12], boundaries: { fractions: [0.3] }, totalSteps: 1000 });
 * const parts = depthGrowth({ schedule, map: stackTop, moments: 'old-kept-new-zero' });
 * const method: TrainingMethod = { name: 'mine', layers: 12, settings: {}, ...parts };
 */
export function depthGrowth(
  options: DepthGrowth,
): Pick<TrainingMethod, 'stageAt' | 'plan' | 'evaluationMaps' | 'evaluationGates' | 'growth'> {
  takesDepthGrowth(options);
  check(
    !(options.calibrate && options.gate?.gate),
    'depthGrowth: calibrate and gate exclude each other; a gated layer adds nothing at first. Give one of them',
  );
  const { schedule, map, moments, rate, gate, calibrate = false, context = {}, shared = 'keep' } = options;
  const { stageLayers } = schedule;
  // The finished network that the layers of each stage would grow into now.
  const through = (stages: readonly number[]) => growThrough(stages, map);
  const full = stageLayers.map((_, stage) => through(stageLayers.slice(stage)));
  const growthBefore = (step: number) => lastGrowth(step, schedule, through);
  const gatesAt = (step: number) => gate && gatesAfterGrowth(step, growthBefore(step), gate, context);
  return {
    stageAt: (step) => schedule.stageAt(step),
    plan(step) {
      const { trainedLayers: depth } = schedule.stageAt(step);
      const layerMap = identityMap(depth);
      return {
        trainedLayers: depth,
        depth,
        layerMap,
        ...(rate && rateAfterGrowth(step, rate, growthBefore(step))),
        ...gatedPlan(gatesAt(step), layerMap),
      };
    },
    evaluationMaps(step) {
      const { index, trainedLayers: count } = schedule.stageAt(step);
      return { full: full[index] as LayerMap, stage: identityMap(count) };
    },
    evaluationGates: gatesAt,
    growth(step) {
      const growth = growthAt(step, growthBefore(step), moments);
      return growth && { ...growth, shared, ...(calibrate && { calibrate }) };
    },
  };
}

/** The stage that ran before stage `index`: one between two equal boundaries is skipped. Undefined for one that starts at step 0. */
export function stageBefore({ boundaries }: StageSchedule, index: number): number | undefined {
  const since = boundaries[index - 1];
  return since ? boundaries.indexOf(since) : undefined;
}

/**
 * The growth before `step`, or with it, if there was one. `through`: which of the layers of the first of some stages each layer
 * of the last is a copy of; equal boundaries pass the stages in between over.
 */
export function lastGrowth(
  step: number,
  schedule: StageSchedule,
  through: (stageLayers: readonly number[]) => LayerMap,
): LastGrowth | undefined {
  const { stageLayers, boundaries } = schedule;
  const { index } = schedule.stageAt(step);
  const before = stageBefore(schedule, index);
  if (before === undefined) return undefined;
  const stages = stageLayers.slice(before, index + 1);
  const since = boundaries[index - 1] as number;
  return { from: stages[0] as number, since, until: boundaries[index], map: through(stages) };
}

/** The copies with which a step starts, where `last`, the growth before it, is its own. `scale`: as for layerCopies. */
export function growthAt(
  step: number,
  last: LastGrowth | undefined,
  moments: MomentOption,
  scale?: (from: number, to: number) => number,
): LayerGrowth | undefined {
  if (last?.since !== step) return undefined;
  const { from, map } = last;
  const to = map.length;
  return {
    kind: 'layers',
    from,
    to,
    copies: layerCopies(map, { moments, from, ...(scale && { scale: scale(from, to) }) }),
  };
}
