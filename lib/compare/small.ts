/** The smaller model that methods such as bert2BERT start from, where a comparison trains it. */
import {
  checkWholeGroups,
  createModel,
  groupSizeOf,
  keyValueHeadsOf,
  type LanguageModel,
  type ModelConfig,
  withShape,
} from '../models/index.js';
import { warmupOf } from '../train/index.js';
import type { SeedlessOptions } from './comparison.js';

/**
 * Its shape; what is left out is two thirds of the finished model's width, in whole heads and whole groups of those that
 * share a key/value head, and as many layers.
 */
export interface SmallShape {
  /** Number of layers; default: as many as the finished model has. */
  readonly layers?: number | undefined;
  /** Width of the residual stream; default: `heads` times the finished model's hidden / heads. */
  readonly hidden?: number | undefined;
  /** Query heads; default: two thirds of the finished model's, in whole groups that share a key/value head. */
  readonly heads?: number | undefined;
  /** Width of the feed-forward part; default: as many times `hidden` as in the finished model, rounded. */
  readonly ffn?: number | undefined;
}

/** Shape, and what of its training differs from the run's. */
export interface SmallModel extends SmallShape {
  /** Optimizer steps of its training, of which the warm-up is the same share; default: as many as the compared runs have. */
  readonly steps?: number | undefined;
  /** Peak learning rate of its training; default: that of the compared runs. */
  readonly learningRate?: number | undefined;
}

export function smallShape(
  model: ModelConfig,
  small: SmallShape = {},
): Required<{ [Name in keyof SmallShape]: number }> {
  const heads = small.heads ?? groupSizeOf(model) * Math.max(1, Math.round((2 * keyValueHeadsOf(model)) / 3));
  const hidden = small.hidden ?? heads * (model.hidden / model.heads);
  const ffn = small.ffn ?? Math.round((hidden * model.ffn) / model.hidden);
  return { layers: small.layers ?? model.layers, hidden, heads, ffn };
}

/** @throws ApolloError BAD_CONFIG for a shape that is no model. */
export function smallModel(model: ModelConfig, small: SmallShape | undefined): LanguageModel {
  const { layers, ...shape } = smallShape(model, small);
  checkWholeGroups('small.heads', shape.heads, model);
  return createModel({ ...withShape(model, shape), layers });
}

/** The smaller model and the options of its run. */
export interface SmallRun {
  readonly model: LanguageModel;
  readonly train: SeedlessOptions;
}

/**
 * The smaller model of a comparison, and its run: that of the compared ones but for what `small` says. It is trained to its
 * end and not compared: nothing is evaluated, and no checkpoint is kept for decays, whose steps are those of the compared
 * runs. Its warm-up takes the same share of its steps: `warmup`, if it is given as a share.
 * @throws ApolloError BAD_CONFIG for a shape that is no model.
 */
export function smallRun(
  finished: ModelConfig,
  train: SeedlessOptions,
  small: SmallModel = {},
  warmup?: number,
): SmallRun {
  const { steps = train.steps, learningRate = train.learningRate } = small;
  const { warmupSteps } = train;
  return {
    model: smallModel(finished, small),
    train: {
      ...train,
      steps,
      learningRate,
      warmupSteps:
        warmup === undefined ? warmupSteps && Math.ceil((steps * warmupSteps) / train.steps) : warmupOf(steps, warmup),
      evaluateEvery: 0,
      keepAt: [],
    },
  };
}
