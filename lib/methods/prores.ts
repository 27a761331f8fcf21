/**
 * ProRes (arXiv 2603.05369): all layers from the start, but the residual branches of layer l, counted from 1, are
 * multiplied by alpha(l, t) = min(t / (Tr l), 1), so that deep layers enter later. Nothing grows and no FLOPs are saved.
 */
import { z } from 'zod';
import { familyOf } from '../models/index.js';
import { gatedPlan } from './gates.js';
import { type Gates, identityMap, type MethodContext, type TrainingMethod } from './method.js';
import { commonOptions, parseOptions } from './options.js';

const schema = z.strictObject({
  ...commonOptions,
  /** Share of the steps after which the last layer counts in full. In (0, 1]. Default: 0.12, with `square` 0.4. */
  ramp: z.number().gt(0).max(1).optional(),
  /** alpha^2 in place of alpha, for post-norm models. Default: true for post-norm models (BERT), else false. */
  square: z.boolean().optional(),
});
/**
 * Settings of the method `prores`, see docs/methods.
 * @example
 * const options: ProResOptions = { layers: 12, totalSteps: 10_000, seed: 42 };
 */
export interface ProResOptions extends z.input<typeof schema> {}

/**
 * The method with its settings; `context.model` decides the default of `square`.
 * @throws ApolloError BAD_CONFIG naming the setting that is wrong.
 */
export function prores(options: ProResOptions, { model }: MethodContext = {}): TrainingMethod {
  const parsed = parseOptions('prores', schema, options);
  const square = parsed.square ?? (model !== undefined && familyOf(model).norm === 'post');
  const settings = { ...parsed, square, ramp: parsed.ramp ?? (square ? 0.4 : 0.12) };
  const { layers, totalSteps } = settings;
  const layerMap = identityMap(layers);
  // The finished network is the plain one: the last step at the latest has all gates at 1.
  const steps = Math.min(settings.ramp * totalSteps, totalSteps - 1);
  const gatesAt = (step: number): Gates | undefined => {
    if (step >= steps) return undefined;
    const alphas = layerMap.map((layer) => Math.min((step * layers) / (steps * (layer + 1)), 1));
    return { branchScales: square ? alphas.map((alpha) => alpha * alpha) : alphas };
  };
  return {
    name: 'prores',
    layers,
    settings,
    stageAt: () => ({ index: 0, trainedLayers: layers }),
    plan: (step) => ({ trainedLayers: layers, depth: layers, layerMap, ...gatedPlan(gatesAt(step), layerMap) }),
    evaluationMaps: () => ({ full: layerMap, stage: layerMap }),
    evaluationGates: gatesAt,
    growth: () => undefined,
  };
}
