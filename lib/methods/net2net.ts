/**
 * Net2Net (Chen, Goodfellow and Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer", ICLR 2016) on
 * transformers: starts from a trained smaller model that computes the same, widened by copies of units whose inputs are
 * divided among the copies, and deepened by layers that add nothing yet.
 */
import { z } from 'zod';
import { size } from '../engine/shape.js';
import { interpolate } from '../growth/index.js';
import { drawnValue, initialValue, nameAt, type ParameterSpec } from '../models/index.js';
import { changedValues } from '../pauses.js';
import { identityMap, type MethodContext, type TrainingMethod } from './method.js';
import { commonOptions, parseOptions } from './options.js';
import { fromSmallModel, smallModelOptions } from './small-model.js';
import { expandTensor, newColumns, specsByPart, widthMaps } from './width-expansion.js';

const schema = z.strictObject({
  ...commonOptions,
  ...smallModelOptions,
  /** Which units are copied: drawn at random, as in the paper, or in turn, so that all have equally many copies or nearly so. Default: 'random'. */
  map: z.enum(['random', 'even']).default('random'),
  /**
   * Noise on the new columns of the layers' matrices: its standard deviation relative to the matrix's root mean square.
   * Without it copies of feed-forward units stay copies permanently, for any dropout of the stream. In [0, 1]. Default: 0.01.
   */
  noise: z.number().min(0).max(1).default(0.01),
});
/**
 * Settings of the method `net2net`, see docs/methods.
 * @example
 * const options: Net2NetOptions = { layers: 12, totalSteps: 10_000, seed: 42, source: 'runs/small/checkpoints', small: { layers: 6, hidden: 512, heads: 8, ffn: 2048 } };
 */
export interface Net2NetOptions extends z.input<typeof schema> {}

function rootMeanSquare(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
}

/**
 * The method with its settings; `context.model` is the finished model.
 * @example createMethod('net2net', { layers: 12, totalSteps: 10_000, seed: 42, source: 'runs/small/checkpoints',
 *   small: { layers: 6, hidden: 384, heads: 6, ffn: 1536 } }, { model: preset('gpt-base') })
 * @throws ApolloError BAD_CONFIG naming the setting that is wrong, or without `context.model`.
 */
export function net2net(options: Net2NetOptions, context: MethodContext): TrainingMethod {
  const settings = parseOptions('net2net', schema, options);
  const { layers, seed, small, noise } = settings;
  const { model, narrow, begin } = fromSmallModel('net2net', settings, context);
  const layerMap = identityMap(layers);
  const specs = specsByPart(narrow);
  const maps = widthMaps(narrow, model, { rule: settings.map, seed });
  // Above each layer those that are new: 2 -> 5 layers, 0 + + 1 +.
  const sourceLayer = interpolate(small.layers, layers);
  const isNew = (layer: number) => layer > 0 && sourceLayer[layer - 1] === sourceLayer[layer];

  const addNoise = async (spec: ParameterSpec, values: Float32Array): Promise<Float32Array> => {
    if (noise === 0 || spec.layer === undefined || spec.role !== 'matrix') return values;
    const std = noise * rootMeanSquare(values);
    const drawn = await drawnValue({ ...spec, name: `${spec.name}.noise`, init: { kind: 'normal', std } }, seed);
    const added = newColumns(specs.get(spec.part) as ParameterSpec, spec);
    return changedValues(values, (value, at) => (added(at) ? value + (drawn[at] as number) : value));
  };

  return {
    name: 'net2net',
    layers,
    settings,
    initial: {
      ...begin,
      async value(spec, source) {
        const { part, use } = spec;
        const layer = spec.layer === undefined ? undefined : (sourceLayer[spec.layer] as number);
        if (spec.layer !== undefined && isNew(spec.layer)) {
          if (use === 'branchOutput') return new Float32Array(size(spec.shape)); // it adds nothing yet
          // In a new post-norm layer it sees what the layer below has normed and should leave it alone: its weights of one
          // and biases of zero leave a single norm, the layer's last, between the two.
          if (use === 'innerNorm') return initialValue(spec, seed);
        }
        const values = await source.read(nameAt(part, layer));
        return addNoise(spec, await expandTensor(specs.get(part) as ParameterSpec, values, maps, layer));
      },
    },
    stageAt: () => ({ index: 0, trainedLayers: layers }),
    plan: () => ({ trainedLayers: layers, depth: layers, layerMap }),
    evaluationMaps: () => ({ full: layerMap, stage: layerMap }),
    growth: () => undefined,
  };
}
