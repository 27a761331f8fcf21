/**
 * The interface of a training method: for each step, which weights form which layers and which of them train; at the
 * beginning of a stage, how weights and optimizer moments grow. All of it is a pure function of the step, so a run can
 * be resumed anywhere. The loop knows no method by name.
 */
import type { LayerMap, Stage } from '../growth/index.js';

/**
 * What becomes of AdamW's m, v and step count when a layer's weights are copied: taken along ('copy'), cleared
 * ('zero'), left as the target had them ('keep'), or taken along with m and v multiplied.
 */
export type MomentRule = 'copy' | 'zero' | 'keep' | { readonly m: number; readonly v: number };

/** One layer's copy at a switch. `from === to` changes the moments alone. */
export interface LayerCopy {
  readonly from: number;
  readonly to: number;
  readonly moments: MomentRule;
}

export interface GrowthPlan {
  /** Trained layers before and after. */
  readonly from: number;
  readonly to: number;
  /** In an order in which no copy overwrites a layer that is still to be read. */
  readonly copies: readonly LayerCopy[];
}

export interface StepPlan {
  /** Trained layers of the stage. */
  readonly units: number;
  /** Layers of this step's network. */
  readonly depth: number;
  /** `layerMap[i]` is the trained layer at place i; its length is the depth. */
  readonly layerMap: LayerMap;
  /** Which parameters train; all when absent. */
  readonly trainable?: (name: string) => boolean;
}

export interface TrainingMethod {
  readonly name: string;
  /** Depth of the finished model. */
  readonly layers: number;
  /** The validated settings, as plain data: a checkpoint keeps them and a resumed run must have the same. */
  readonly settings: Readonly<Record<string, unknown>>;
  stageAt(step: number): Stage;
  /** The network of step `step` (0-based). */
  plan(step: number): StepPlan;
  /** Maps for evaluation during the stage of `step`: at full depth, and the trained layers alone. */
  evaluationMaps(step: number): { readonly full: LayerMap; readonly stage: LayerMap };
  /** When `step` begins a new stage: what to do before it. */
  growth(step: number): GrowthPlan | undefined;
}

/** The map of a network whose layers all have their own weights. */
export function identityMap(layers: number): number[] {
  return Array.from({ length: layers }, (_, layer) => layer);
}
