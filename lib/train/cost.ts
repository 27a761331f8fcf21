/** Cost of a step by the paper's accounting, from the method's plan alone. */
import type { MethodStage, StepPlan, TrainingMethod } from '../methods/method.js';
import { headFlops, layerFlops, type ModelConfig, withShape } from '../models/index.js';

/** The network that a stage trains: the finished model's, in the stage's widths. Its depth stays that of the model. */
export function stageConfig(config: ModelConfig, stage: MethodStage): ModelConfig {
  return stage.shape ? withShape(config, stage.shape) : config;
}

/** FLOPs of a step: with the head on all positions, and of its layers alone. */
export interface StepFlops {
  readonly model: number;
  readonly layers: number;
}

/**
 * FLOPs of a step of `tokens` tokens in sequences of `seq`. A trained layer costs its forward pass three times, one
 * through which no gradient flows once; what the step computes besides its network counts as layers.
 */
export function stepFlops(
  config: ModelConfig,
  plan: Pick<StepPlan, 'depth' | 'forwardOnly' | 'extraFlops'>,
  { seq, tokens }: { readonly seq: number; readonly tokens: number },
): StepFlops {
  const { depth, forwardOnly = 0, extraFlops = 0 } = plan;
  const layers = (3 * depth - 2 * forwardOnly) * layerFlops(config, seq) * tokens + extraFlops;
  return { model: layers + 3 * headFlops(config) * tokens, layers };
}

/** The same of step `step` of a method that trains a model of `config`. */
export function flopsOfStep(
  method: TrainingMethod,
  config: ModelConfig,
  step: number,
  size: { readonly seq: number; readonly tokens: number },
): StepFlops {
  return stepFlops(stageConfig(config, method.stageAt(step)), method.plan(step), size);
}
