/**
 * Gates: factors on residual branches or on whole layers that go from 0 to 1, so that layers enter a network gradually.
 * With them a growth by copies leaves the network as it was (MSG: Yao et al., arXiv 2305.02869).
 */
import { z } from 'zod';
import { ApolloError } from '../errors.js';
import type { LayerMap } from '../growth/index.js';
import { familyOf, layerOf } from '../models/index.js';
import { type LastGrowth, newLayers } from './growth-rate.js';
import type { Gates, MethodContext, StepPlan } from './method.js';

/** Settings of a method that grows by copies. */
export const gateOptions = {
  /** New layers enter with a gate that goes from 0 to 1. Default: they enter at once. */
  gate: z
    .strictObject({
      /** Share of the run's steps over which the gate opens; above 0, at most 1. Default: 0.03. */
      share: z.number().gt(0).max(1).default(0.03),
    })
    .optional(),
};

/** Setting of a method that grows by copies and trains the layers alone. */
export const calibrateOption = {
  /** Whether the residual stream keeps its size at a growth: pre-norm models, and without a gate. Default: false. */
  calibrate: z.boolean().default(false),
};

/** @throws ApolloError BAD_CONFIG for calibration of a post-norm model, or together with a gate. */
export function checkCalibration(
  owner: string,
  { calibrate, gate }: { readonly calibrate: boolean; readonly gate?: unknown },
  { model }: MethodContext,
): void {
  const isPostNorm = model !== undefined && familyOf(model).norm === 'post';
  if (!calibrate || (!isPostNorm && !gate)) return;
  const reason = gate
    ? 'a gate keeps the network unchanged, calibration changes it'
    : 'a post-norm model (BERT) normalises its stream in every layer';
  throw new ApolloError('BAD_CONFIG', `${owner}.calibrate: ${reason}. Remove it.`);
}

/** How new layers enter gradually: the share of the steps until their branches are fully open. */
export interface GrowthGate {
  /** How long the gate of a new layer takes from 0 to 1. Absent: new layers enter at once. */
  readonly gate?:
    | {
        /** Share of the run's steps, in (0, 1], over which the gate goes from 0 to 1. */
        readonly share: number;
      }
    | undefined;
  /** Optimizer steps of the run, of which `share` is a part. */
  readonly totalSteps: number;
}

/** The gates of a network's places, from those of the trained layers. */
export function gatesAtPlaces({ branchScales, blockGates }: Gates, layerMap: LayerMap): Gates {
  const atPlaces = (values: readonly number[]) => layerMap.map((layer) => values[layer] as number);
  return {
    ...(branchScales && { branchScales: atPlaces(branchScales) }),
    ...(blockGates && { blockGates: atPlaces(blockGates) }),
  };
}

/** The part of a step's plan that follows from the gates of its trained layers. A layer with gate 0 is not updated. */
export function gatedPlan(gates: Gates | undefined, layerMap: LayerMap): Gates & Pick<StepPlan, 'updates'> {
  if (!gates) return {};
  const closed = (name: string) => {
    const layer = layerOf(name);
    return layer !== undefined && (gates.branchScales?.[layer] === 0 || gates.blockGates?.[layer] === 0);
  };
  const someClosed = [...(gates.branchScales ?? []), ...(gates.blockGates ?? [])].includes(0);
  return { ...gatesAtPlaces(gates, layerMap), ...(someClosed && { updates: (name: string) => !closed(name) }) };
}

/**
 * Gates of the trained layers in a step after a growth: 1 for a layer's first copy; for further copies 0 in the first step
 * and 1 after the share, at the latest in the last step before the next growth or the end. Undefined when all are 1. Whole layers are gated, or in a pre-norm model (GPT)
 * its residual branches, which there is the same network at 0.
 */
export function gatesAfterGrowth(
  step: number,
  growth: LastGrowth | undefined,
  { gate, totalSteps }: GrowthGate,
  { model }: MethodContext,
): Gates | undefined {
  if (!gate || !growth) return undefined;
  const { since, map, until = totalSteps } = growth;
  const steps = Math.min(Math.round(gate.share * totalSteps), until - 1 - since);
  const into = step - since;
  if (into >= steps) return undefined;
  const values = newLayers(map).map((isNew) => (isNew ? into / steps : 1));
  return model && familyOf(model).norm === 'pre' ? { branchScales: values } : { blockGates: values };
}
