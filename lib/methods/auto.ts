/**
 * The recipe that saved most in this project's own measurements (bench/results/acceleration/map), chosen by the kind of
 * model (pre-norm as GPT, post-norm as BERT): growth by stacking from a twelfth of the layers. docs/methods/auto.md has the rule and its evidence.
 */
import { z } from 'zod';
import { ApolloError } from '../errors.js';
import { createModel, familyOf, type ModelFamily, parameterCount } from '../models/index.js';
import { longRun } from './auto-evidence.js';
import type { MethodContext, TrainingMethod } from './method.js';
import { momentOption } from './moments.js';
import { parseOptions } from './options.js';
import { stacking, stackingOptions } from './stackbert.js';

const schema = z.strictObject({
  ...stackingOptions,
  /** Trained layers of each stage; requires `boundaries`. Default: a twelfth, a quarter, half and all of the layers. */
  stageLayers: stackingOptions.stageLayers,
  /**
   * Where stages end. Default: 10 %, 25 % and 50 % of the steps; for pre-norm models in a run of 20 tokens per parameter
   * or more 5 %, 10 % and 25 %.
   */
  boundaries: stackingOptions.boundaries,
  /** Optimizer state at a growth, see `MomentOption`. Default: 'old-kept-new-zero'. */
  moments: momentOption.default('old-kept-new-zero'),
  /** New layers enter with a gate that goes from 0 to 1. Default: for post-norm models { share: 0.05 }, else none. */
  gate: stackingOptions.gate,
  /** Whether the residual stream keeps its size at a growth. Default: true for pre-norm models unless new layers have a gate. */
  calibrate: z.boolean().optional(),
});
/**
 * Settings of the method `auto`, see docs/methods.
 * @example
 * const options: AutoOptions = { layers: 12, totalSteps: 10_000, seed: 42 };
 */
export interface AutoOptions extends z.input<typeof schema> {}

/** Shares of the steps at which the stages of a twelfth, a quarter, a half and all of the layers start. */
type Starts = readonly [0, number, number, number];
const usual: Starts = [0, 0.1, 0.25, 0.5];
const early: Starts = [0, 0.05, 0.1, 0.25];

interface Recipe {
  readonly gate?: { readonly share: number };
  readonly calibrate: boolean;
  /** Where stages start in a long run, and in any other. */
  readonly starts: { readonly long: Starts; readonly short: Starts };
}

const recipes: Readonly<Record<ModelFamily['norm'], Recipe>> = {
  // Copies on top raise the size of the residual stream, which calibration brings back. Growth saves the beginning of a
  // run, whose share is smaller the longer the run is.
  pre: { calibrate: true, starts: { long: early, short: usual } },
  // Copies at full strength would put a post-norm network back on its plateau.
  post: { gate: { share: 0.05 }, calibrate: false, starts: { long: usual, short: usual } },
};

/** Whether a run is long for its model; one of unknown length is not. */
function isLong({ model, tokensPerStep }: MethodContext, totalSteps: number): boolean {
  return (
    model !== undefined &&
    totalSteps * (tokensPerStep ?? 0) >= longRun * parameterCount(createModel(model).parameters(model.layers))
  );
}

/** The stages for a depth; those that add no layer are left out. */
function stagesOf(layers: number, starts: Starts): { stageLayers: number[]; boundaries: { fractions: number[] } } {
  const depths = [12, 4, 2, 1].map((part) => Math.max(1, Math.floor(layers / part)));
  const stages = depths
    .map((trainedLayers, i) => ({ trainedLayers, start: starts[i] as number }))
    .filter(({ trainedLayers }, i) => i === 0 || trainedLayers > (depths[i - 1] as number));
  return {
    stageLayers: stages.map(({ trainedLayers }) => trainedLayers),
    boundaries: { fractions: stages.slice(1).map(({ start }) => start) },
  };
}

/**
 * The method and settings with which this kind of model was trained for the fewest FLOPs, by the length of the run where
 * `context` has the tokens of a step. A setting that is given counts
 * in place of the recipe's; stages (`stageLayers`) are given together with their `boundaries`.
 * @example createMethod('auto', { layers: 12, totalSteps: 10_000, seed: 42 }, { model: preset('gpt-base'), tokensPerStep: 8192 })
 * @throws ApolloError BAD_CONFIG naming the setting that is wrong, or without the model's configuration.
 */
export function auto(options: AutoOptions, context: MethodContext = {}): TrainingMethod {
  const parsed = parseOptions('auto', schema, options);
  if (!context.model) {
    throw new ApolloError(
      'BAD_CONFIG',
      "auto chooses by the kind of model and needs its configuration: createMethod('auto', options, { model }).",
    );
  }
  const recipe = recipes[familyOf(context.model).norm];
  const length = isLong(context, parsed.totalSteps) ? 'long' : 'short';
  const stages = stagesOf(parsed.layers, recipe.starts[length]);
  if (parsed.stageLayers && !parsed.boundaries) {
    throw new ApolloError('BAD_CONFIG', 'auto.stageLayers: also give auto.boundaries, where these stages end.');
  }
  const gate = parsed.gate ?? recipe.gate;
  return stacking(
    'auto',
    {
      ...parsed,
      stageLayers: parsed.stageLayers ?? stages.stageLayers,
      boundaries: parsed.boundaries ?? stages.boundaries,
      calibrate: parsed.calibrate ?? (recipe.calibrate && !gate),
      ...(gate && { gate }),
    },
    context,
  );
}
