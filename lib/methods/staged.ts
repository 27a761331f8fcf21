/**
 * Staged Training (Shen et al., "Staged Training for Transformer Language Models", ICML 2022): one run that starts with a
 * small network and doubles its width or adds layers, the optimizer's state growing with the weights.
 */
import { z } from 'zod';
import { slotFactor } from '../engine/optim/slots.js';
import { ApolloError } from '../errors.js';
import { growThrough, interpolate, rewarmFactor, stack } from '../growth/index.js';
import {
  checkWholeGroups,
  groupSizeOf,
  type ModelConfig,
  type ParameterSpec,
  type StageShape,
  withShape,
} from '../models/index.js';
import { identityMap, type MethodContext, type MethodStage, type StateGrowth, type TrainingMethod } from './method.js';
import { layerCopies } from './moments.js';
import { commonOptions, parseOptions, positiveInteger } from './options.js';
import { doubleMoment, doubleTensor, specsByPart } from './width-expansion.js';

const schema = z.strictObject({
  ...commonOptions,
  /**
   * The stages, small to large. From one to the next either the layers grow or hidden, heads and ffn all double. Default:
   * half the width and half the depth, then the full depth, then the full width.
   */
  stages: z
    .array(
      z.strictObject({
        /** Number of layers that the stage trains. */
        trainedLayers: positiveInteger,
        /** Widths; absent: the finished model's. */
        shape: z
          .strictObject({
            /** Width of the residual stream. */
            hidden: positiveInteger,
            /** Number of query heads. */
            heads: positiveInteger,
            /** Width of the feed-forward part. */
            ffn: positiveInteger,
          })
          .optional(),
        /** Where the stage ends, as a fraction of the run's steps; the last stage has none. */
        boundary: z.number().gt(0).lt(1).optional(),
      }),
    )
    .min(1)
    .optional(),
  /** Where copies of layers are: each next to its original, or all above the originals. Default: 'interleave'. */
  depth: z.enum(['interleave', 'append']).default('interleave'),
  /** Steps over which the learning rate rises again after a growth. Default: 200, but at most 2 % of the run. */
  rewarmSteps: z.int().min(0).optional(),
});
/**
 * Settings of the method `staged`, see docs/methods.
 * @example
 * const options: StagedOptions = { layers: 12, totalSteps: 10_000, seed: 42 };
 */
export interface StagedOptions extends z.input<typeof schema> {}
type StageOption = NonNullable<z.output<typeof schema>['stages']>[number];

const placements = { interleave: interpolate, append: stack } as const;

const fail = (message: string): never => {
  throw new ApolloError('BAD_CONFIG', `staged.${message}`);
};

const sizes = ['hidden', 'heads', 'ffn'] as const;
const text = (shape: StageShape) => sizes.map((size) => `${size} ${shape[size]}`).join(', ');

/** Halves what can be halved; the depth grows first, since layers of half the width are the cheaper ones. */
function defaultStages(layers: number, model: ModelConfig | undefined): StageOption[] {
  if (!model) return fail(`stages: the default halves the model's widths; give stages, or { model } as the context.`);
  const stageLayers = layers % 2 === 0 ? [layers / 2, layers] : [layers];
  const half = { hidden: model.hidden / 2, heads: model.heads / 2, ffn: model.ffn / 2 };
  const halves = sizes.every((size) => Number.isInteger(half[size])) && half.heads % groupSizeOf(model) === 0;
  const widths = halves ? [half, undefined] : [undefined];
  const stages: StageOption[] = stageLayers.map((count) => ({
    trainedLayers: count,
    ...(widths[0] ? { shape: widths[0] } : {}),
  }));
  if (widths.length > 1) stages.push({ trainedLayers: layers });
  if (stages.length === 1)
    fail(`stages: a model of ${layers} layers and ${text(model)} cannot be halved; give stages.`);
  const boundaries = stages.length === 3 ? [0.25, 0.5] : [0.5];
  return stages.map((stage, i) => (i < boundaries.length ? { ...stage, boundary: boundaries[i] as number } : stage));
}

/** Checks that the stages lead to the finished model, each growth in depth or in width. */
function checkStages(stages: readonly StageOption[], layers: number, model: ModelConfig | undefined): void {
  const shapeOf = (index: number): StageShape | undefined => stages[index]?.shape ?? model;
  const last = stages.length - 1;
  if (stages[last]?.trainedLayers !== layers)
    fail(`stages[${last}].trainedLayers: the last stage has all ${layers} layers.`);
  if (stages.some(({ shape }) => shape) && !model) {
    fail('stages: widths grow into those of the finished model; give { model } as the context.');
  }
  const end = stages[last]?.shape;
  if (end && model && sizes.some((size) => end[size] !== model[size])) {
    fail(`stages[${last}].shape: the last stage has the model's widths (${text(model)}); got ${text(end)}.`);
  }
  for (const [i, { shape }] of stages.entries()) {
    if (shape && model) checkWholeGroups(`staged.stages[${i}].shape.heads`, shape.heads, model);
  }
  for (let i = 1; i <= last; i++) {
    const [before, after] = [stages[i - 1] as StageOption, stages[i] as StageOption];
    const [from, to] = [shapeOf(i - 1), shapeOf(i)];
    const same = !from || !to || sizes.every((size) => to[size] === from[size]);
    const doubles = from && to && sizes.every((size) => to[size] === 2 * from[size]);
    if (same ? after.trainedLayers > before.trainedLayers : doubles && after.trainedLayers === before.trainedLayers)
      continue;
    fail(
      `stages[${i}]: after the stage before it, either trainedLayers rise or hidden, heads and ffn all double; ` +
        `got ${before.trainedLayers} -> ${after.trainedLayers} layers${from && to ? `, ${text(from)} -> ${text(to)}` : ''}.`,
    );
  }
}

/** First steps of all stages but the first. */
function beginnings(stages: readonly StageOption[], totalSteps: number): number[] {
  const last = stages.length - 1;
  if (stages[last]?.boundary !== undefined) fail(`stages[${last}].boundary: the last stage ends with the run.`);
  let previous = 0;
  return stages.slice(0, last).map(({ boundary }, i) => {
    if (boundary === undefined) return fail(`stages[${i}].boundary: every stage but the last has one.`);
    const step = Math.round(boundary * totalSteps);
    if (step <= previous || step >= totalSteps) {
      fail(
        `stages[${i}].boundary: each stage needs at least one step; ${boundary} of ${totalSteps} steps is ${step}, ` +
          `and the stage begins at ${previous}.`,
      );
    }
    previous = step;
    return step;
  });
}

/**
 * diag(W, W) with the optimizer's state (section 4 of the paper, and its released code) for gradients that halve: m / 2,
 * v / 4, the same count. `before` is the model before.
 */
function widthGrowth(trainedLayers: number, before: ModelConfig): StateGrowth {
  const specs = specsByPart(before);
  const narrow = ({ part }: ParameterSpec) => specs.get(part) as ParameterSpec;
  return {
    kind: 'state',
    from: trainedLayers,
    to: trainedLayers,
    value: (spec, before) => doubleTensor(narrow(spec), before),
    moment: (spec, slot, before) => doubleMoment(narrow(spec), before, slotFactor(1 / 2, slot)),
  };
}

/**
 * The method with its settings; `context.model` is the finished model.
 * @example createMethod('staged', { layers: 12, totalSteps: 10_000, seed: 42 }, { model: preset('gpt-base') })
 * @throws ApolloError BAD_CONFIG naming the setting that is wrong, or without `context.model` where widths grow.
 */
export function staged(options: StagedOptions, { model }: MethodContext = {}): TrainingMethod {
  const parsed = parseOptions('staged', schema, options);
  const { layers, totalSteps } = parsed;
  if (model && model.layers !== layers) fail(`layers: expected the model's ${model.layers}; got ${layers}.`);
  const stages = parsed.stages ?? defaultStages(layers, model);
  const rewarmSteps = parsed.rewarmSteps ?? Math.min(200, Math.floor(totalSteps / 50));
  checkStages(stages, layers, model);
  const begins = beginnings(stages, totalSteps);
  const place = placements[parsed.depth];
  const stageLayers = stages.map((stage) => stage.trainedLayers);
  const layersOf = (index: number) => stageLayers[index] as number;

  const described: MethodStage[] = stages.map(({ trainedLayers, shape }, index) => ({
    index,
    trainedLayers,
    ...(shape && model && shape.hidden !== model.hidden ? { shape } : {}),
  }));
  const indexAt = (step: number) => begins.filter((begin) => begin <= step).length;
  /** The network of all layers as places of the layers of a stage, through all growths to come. */
  const fullMaps = stageLayers.map((_, index) => growThrough(stageLayers.slice(index), place));

  return {
    name: 'staged',
    layers,
    settings: { ...parsed, stages, rewarmSteps },
    stageAt: (step) => described[indexAt(step)] as MethodStage,
    plan(step) {
      const index = indexAt(step);
      const trainedLayers = layersOf(index);
      const factor = index === 0 ? 1 : rewarmFactor(step - (begins[index - 1] as number), rewarmSteps);
      return {
        trainedLayers,
        depth: trainedLayers,
        layerMap: identityMap(trainedLayers),
        ...(factor < 1 ? { learningRate: { factor } } : {}),
      };
    },
    evaluationMaps(step) {
      const index = indexAt(step);
      return { full: fullMaps[index] as number[], stage: identityMap(layersOf(index)) };
    },
    growth(step) {
      const index = begins.indexOf(step) + 1;
      if (index === 0) return undefined;
      const [from, to] = [layersOf(index - 1), layersOf(index)];
      const shape = stages[index - 1]?.shape;
      if (from === to && shape && model) return widthGrowth(from, withShape(model, shape));
      return { kind: 'layers', from, to, copies: layerCopies(place(from, to), { moments: 'copy', from }) };
    },
  };
}
