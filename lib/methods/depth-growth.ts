/** What methods share that grow by copying layers and run just the layers they train. */
import { type Expansion, growThrough, type LayerMap, type StageSchedule } from '../growth/index.js';
import { type GrowthRate, rateAfterGrowth } from './growth-rate.js';
import { identityMap, type LayerGrowth, type TrainingMethod } from './method.js';
import { layerCopies, type MomentOption } from './moments.js';

export interface DepthGrowth {
  readonly schedule: StageSchedule;
  /** Which old layer each layer of the next stage is a copy of. */
  readonly map: Expansion;
  readonly moments: MomentOption;
  /** What the learning rate does after a growth; default: nothing. */
  readonly rate?: GrowthRate;
  /** What becomes of the moments of embeddings, final norm and head; default: they stay. */
  readonly shared?: LayerGrowth['shared'];
}

/** The parts of a method that follow from its schedule and map; each step runs the trained layers. */
export function depthGrowth({
  schedule,
  map,
  moments,
  rate,
  shared = 'keep',
}: DepthGrowth): Pick<TrainingMethod, 'stageAt' | 'plan' | 'evaluationMaps' | 'growth'> {
  const { units, boundaries } = schedule;
  // The finished network that the layers of each stage would grow into now.
  const full = units.map((_, stage) => growThrough(units.slice(stage), map));
  return {
    stageAt: (step) => schedule.stageAt(step),
    plan(step) {
      const { index, units: depth } = schedule.stageAt(step);
      const growth = index > 0 && {
        since: boundaries[index - 1] as number,
        map: map(units[index - 1] as number, depth),
      };
      return {
        units: depth,
        depth,
        layerMap: identityMap(depth),
        ...(rate && growth && rateAfterGrowth(step, rate, growth)),
      };
    },
    evaluationMaps(step) {
      const { index, units: count } = schedule.stageAt(step);
      return { full: full[index] as LayerMap, stage: identityMap(count) };
    },
    growth(step) {
      const to = schedule.stageAt(step);
      const from = schedule.stageAt(Math.max(0, step - 1));
      if (from.index === to.index) return undefined;
      // Boundaries may pass a stage over: the copies of all switches in between are one map.
      const layers = growThrough(units.slice(from.index, to.index + 1), map);
      const copies = layerCopies(layers, { moments, from: from.units });
      return { kind: 'layers', from: from.units, to: to.units, copies, shared };
    },
  };
}
