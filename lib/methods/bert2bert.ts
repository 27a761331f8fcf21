/**
 * bert2BERT (Chen et al., "bert2BERT: Towards Reusable Pretrained Language Models", ACL 2022): starts from a trained
 * smaller model, widened by copies of its units and stacked to the full depth, and, if wanted, first trains prefixes of
 * the network.
 */

import { z } from 'zod';
import { ApolloError } from '../errors.js';
import { stack, uniformNumber } from '../growth/index.js';
import { isEmbedding, layerOf, nameAt, type ParameterSpec } from '../models/index.js';
import { uniformStreams } from '../random/streams.js';
import { identityMap, type MethodContext, type StepPlan, type TrainingMethod } from './method.js';
import { commonOptions, parseOptions, positiveInteger } from './options.js';
import { fromSmallModel, smallModelOptions } from './small-model.js';
import { advanceTensor, expandTensor, isAdvanced, specsByPart, widthMaps } from './width-expansion.js';

const schema = z.strictObject({
  ...commonOptions,
  ...smallModelOptions,
  /** 'fpi': new units are copies of their layer's own; 'aki': of those of the layer above. Default: 'aki'. */
  mode: z.enum(['fpi', 'aki']).default('aki'),
  /** Which units are copied: drawn at random, as in the paper, or in turn, so that all have equally many copies or nearly so. Default: 'random'. */
  map: z.enum(['random', 'even']).default('random'),
  /** First trains prefixes of the network, the top layers of each. Default: the whole network from the start. */
  subModel: z
    .strictObject({
      /** Number of layers that train; must divide the layers. */
      layers: positiveInteger,
      /** Share of the run's steps that train prefixes, in [0, 1]. */
      fraction: z.number().min(0).max(1),
    })
    .optional(),
});
/**
 * Settings of the method `bert2bert`, see docs/methods.
 * @example
 * const options: Bert2BertOptions = { layers: 12, totalSteps: 10_000, seed: 42, source: 'runs/small/checkpoints', small: { layers: 6, hidden: 512, heads: 8, ffn: 2048 } };
 */
export interface Bert2BertOptions extends z.input<typeof schema> {}

/**
 * The trained parameters in a prefix of `depth` layers whose top `count` train: these and the head's own. Where no frozen
 * layer is below, the embeddings train as well; elsewhere they are frozen with it, and so is the word table that the
 * decoder is tied to, whose gradient would flow down to the lookups.
 */
function trainsInPrefix(depth: number, count: number): (name: string) => boolean {
  const frozen = depth - count;
  return (name) => {
    const layer = layerOf(name);
    if (layer !== undefined) return layer >= frozen && layer < depth;
    return frozen === 0 || !isEmbedding(name);
  };
}

/**
 * The method with its settings; `context.model` is the finished model.
 * @example createMethod('bert2bert', { layers: 12, totalSteps: 10_000, seed: 42, source: 'runs/small/checkpoints',
 *   small: { layers: 12, hidden: 512, heads: 8, ffn: 2048 } }, { model: preset('bert-base') })
 * @throws ApolloError BAD_CONFIG naming the setting that is wrong, or without `context.model`.
 */
export function bert2bert(options: Bert2BertOptions, context: MethodContext): TrainingMethod {
  const settings = parseOptions('bert2bert', schema, options);
  const { layers, totalSteps, seed, small, mode, subModel } = settings;
  const { model, narrow, begin } = fromSmallModel('bert2bert', settings, context);
  if (subModel && layers % subModel.layers !== 0) {
    throw new ApolloError(
      'BAD_CONFIG',
      `bert2bert.subModel.layers: must divide the model's ${layers} layers; got ${subModel.layers}.`,
    );
  }
  const prefixSteps = subModel ? Math.round(subModel.fraction * totalSteps) : 0;
  const layerMap = identityMap(layers);
  const specs = specsByPart(narrow);
  const maps = widthMaps(narrow, model, { rule: settings.map, seed });
  const sourceLayer = stack(small.layers, layers);

  const prefix = (step: number, count: number): StepPlan => {
    const depth = count * (1 + Math.floor(uniformNumber(seed, uniformStreams.prefix, step) * (layers / count)));
    return {
      trainedLayers: layers,
      depth,
      layerMap: identityMap(depth),
      trainable: trainsInPrefix(depth, count),
      ...(depth > count ? { forwardOnly: depth - count } : {}),
    };
  };

  return {
    name: 'bert2bert',
    layers,
    settings,
    initial: {
      ...begin,
      async value(spec, source) {
        const { part } = spec;
        const small = specs.get(part) as ParameterSpec;
        const layer = spec.layer === undefined ? undefined : (sourceLayer[spec.layer] as number);
        const expanded = async (from: number | undefined) =>
          expandTensor(small, await source.read(nameAt(part, from)), maps, from);
        const own = await expanded(layer);
        if (layer === undefined || mode === 'fpi' || !isAdvanced(spec) || layer + 1 === narrow.layers) return own;
        return advanceTensor(small, spec, own, await expanded(layer + 1));
      },
    },
    stageAt: () => ({ index: 0, trainedLayers: layers }),
    plan(step) {
      return subModel && step < prefixSteps
        ? prefix(step, subModel.layers)
        : { trainedLayers: layers, depth: layers, layerMap };
    },
    evaluationMaps: () => ({ full: layerMap, stage: layerMap }),
    growth: () => undefined,
  };
}
