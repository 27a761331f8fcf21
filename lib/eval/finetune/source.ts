/** Where a network's body comes from: trained weights, or random ones of the same structure. */
import { createHash } from 'node:crypto';
import * as is from '../../is.js';
import { atPlace, createModel, type ModelConfig, type ParameterSpec } from '../../models/index.js';
import { poolerParameters } from './heads/sequence.js';
import { trainedLayersOf } from './network.js';

/** Where the weights of a body come from, see {@link trainedSource} and {@link untrainedSource}. */
export interface BodySource {
  /** Configuration of the model whose body it is. */
  readonly config: ModelConfig;
  /** Which weights form which layers. */
  readonly layerMap: readonly number[];
  /** The f32 value of a parameter of the body; undefined: its initial value, by the seed. */
  read(name: string): Promise<Float32Array | undefined>;
  /** The pre-trained pooler by the names of its parameters, with which a head's begins; absent: that is drawn by the seed. */
  readonly pooler?: ReadonlyMap<string, Float32Array>;
  /** Identifies the weights: resuming with other ones is refused. */
  readonly key: string;
}

const takesTrainedSource = is.takes('trainedSource', {
  folder: is.object('a trained model (from openModelFolder)', {
    config: is.modelConfig,
    layerMap: is.layerMap,
    read: is.func,
    readBeside: is.optional(is.func),
  }),
});

/**
 * The weights of an open model folder, which stays open as long as the source is used. They are read once for their
 * digest. Of a model that was still growing every place gets a copy of the layer that is there, so that fine-tuning
 * has the structure of the finished model. A pooler that the folder holds beside the language model (Hugging Face's BERT)
 * comes with them.
 * @param folder An open model folder, from `openModelFolder`.
 * @example
 * const source = trainedSource(await openModelFolder('runs/bert'));
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function trainedSource(folder: {
  /** Configuration of the finished model. */
  readonly config: ModelConfig;
  /** Which stored layer is at each place of the finished model. */
  readonly layerMap: readonly number[];
  /** The f32 values of a parameter, row-major. */
  read(name: string): Promise<Float32Array>;
  /** The same of a parameter beside those of the language model, such as a pooler's; undefined where there is none. */
  readBeside?(spec: ParameterSpec): Promise<Float32Array | undefined>;
}): Promise<BodySource> {
  takesTrainedSource(folder);

  const { config, layerMap } = folder;
  const hash = createHash('sha256').update(layerMap.join());
  for (const { name } of createModel(config).body.parameters(trainedLayersOf(layerMap))) {
    hash.update(name).update(new Uint8Array((await folder.read(name)).slice().buffer));
  }
  const pooler = new Map<string, Float32Array>();
  for (const spec of poolerParameters(config)) {
    const value = await folder.readBeside?.(spec);
    if (!value) continue;
    pooler.set(spec.name, value);
    hash.update(spec.name).update(new Uint8Array(value.slice().buffer));
  }
  return {
    config,
    layerMap: layerMap.map((_, place) => place),
    read: (name) => folder.read(atPlace(name, layerMap)),
    ...(pooler.size > 0 && { pooler }),
    key: hash.digest('hex'),
  };
}

const takesUntrainedSource = is.takes('untrainedSource', { config: is.modelConfig });

/**
 * Random weights of a structure, as a baseline: every place has a layer of its own.
 * @example
 * const source = untrainedSource(preset('bert-nano'));
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function untrainedSource(config: ModelConfig): BodySource {
  takesUntrainedSource(config);

  return {
    config,
    layerMap: Array.from({ length: config.layers }, (_, layer) => layer),
    read: async () => undefined,
    key: 'initial values',
  };
}
