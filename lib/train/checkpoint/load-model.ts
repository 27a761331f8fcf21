/** A trained model on a device, with its tokenizer. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { checkVocabulary, loadTokenizer, noEndOfText, type Tokenizer } from '../../data/index.js';
import type { Device } from '../../engine/device.js';
import { ParameterStore } from '../../engine/parameters.js';
import { readJsonObject } from '../../fs/json-object.js';
import * as is from '../../is.js';
import { createModel, declareSpecs, type LanguageModel, type ModelConfig, objectiveOf } from '../../models/index.js';
import { type OpenOptions, openModelFolder } from './model-folder.js';

/** How {@link loadModel} reads a model. */
export interface LoadOptions extends OpenOptions {
  /** Precision of matrix products; the weights are f32 masters in both. */
  readonly precision?: 'f32' | 'bf16';
  /** 'full': at the depth of the finished model, through the layer map; 'stored': the stored layers alone. */
  readonly depth?: 'full' | 'stored';
}

/** A trained model with its weights on a device, from {@link loadModel}. */
export interface LoadedModel {
  /** Structure and graphs of the model, for `layerMap` and `store`. */
  readonly model: LanguageModel;
  /** Configuration of the finished model. */
  readonly config: ModelConfig;
  /** Holds the stored layers' parameters; disposed with the model. */
  readonly store: ParameterStore;
  /** For `model.trace`: which stored layer is at each place. */
  readonly layerMap: readonly number[];
  /** The tokenizer that was found with the model; undefined where there is none. */
  readonly tokenizer: Tokenizer | undefined;
  /** Causal models: tokens at which a text ends, as the tokenizer and what is next to it name them; undefined without a tokenizer. */
  readonly ends: readonly number[] | undefined;
  /** Same as ModelFolder.folder. */
  readonly folder: string;
  /**
   * Warnings for the user, one sentence each: those of the folder, that a causal model's tokenizer has no end of text, and
   * that its generation_config.json has settings of sampling, which `generate` takes as options alone.
   */
  readonly warnings: readonly string[];
  /** Frees the weights. */
  dispose(): void;
}

const takesLoadModel = is.takes('loadModel', {
  device: is.device,
  path: is.path,
  options: is.options({
    precision: is.optional(is.precision),
    depth: is.optional(is.oneOf('full', 'stored')),
    seed: is.optional(is.integer),
  }),
});

/**
 * Declares the model's parameters in a new store on `device` and fills them.
 * ```ts
 * const { model, store, layerMap } = await loadModel(device, 'runs/train');
 * console.log(model.config.layers, layerMap, store.bytes);
 * ```
 * @throws ApolloError as openModelFolder; BAD_TOKENIZER or BAD_CONFIG when the tokenizer next to it is not one, or has more
 * tokens than the model; OUT_OF_MEMORY.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function loadModel(device: Device, path: string, options: LoadOptions = {}): Promise<LoadedModel> {
  takesLoadModel(device, path, options);

  const { precision = 'f32', depth = 'full' } = options;
  const source = await openModelFolder(path, options);
  const store = new ParameterStore(device, { precision });
  try {
    const { config, layers, tokenizerPath, folder } = source;
    const tokenizer = tokenizerPath === undefined ? undefined : loadTokenizer(tokenizerPath);
    if (tokenizer) checkVocabulary(tokenizer, config.vocabSize);
    const ends = objectiveOf(config) === 'causal' ? tokenizer?.endIds : undefined;
    const warnings = [...source.warnings];
    if (ends?.length === 0) warnings.push(`${folder}: ${noEndOfText} Texts end only by their length.`);
    if (ends) warnings.push(...(await unusedSettings(join(folder, 'generation_config.json'))));
    const model = createModel(config);
    const specs = model.parameters(layers);
    declareSpecs(store, specs);
    for (const { name } of specs) await store.write(name, await source.read(name));
    const layerMap = depth === 'full' ? source.layerMap : Array.from({ length: layers }, (_, layer) => layer);
    return { model, config, store, layerMap, tokenizer, ends, folder, warnings, dispose: () => store.dispose() };
  } catch (error) {
    store.dispose();
    throw error;
  } finally {
    await source.close();
  }
}

/** Settings that transformers' `generate` takes from generation_config.json, with the values at which they do nothing. */
const neutral: Readonly<Record<string, readonly unknown[]>> = {
  temperature: [1],
  top_k: [0, 50],
  top_p: [1],
  min_p: [0],
  typical_p: [1],
  repetition_penalty: [1],
  no_repeat_ngram_size: [0],
  num_beams: [1],
};

/** A warning that names the settings of such a file which `generate` does not take from it. @throws ApolloError BAD_CHECKPOINT. */
async function unusedSettings(path: string): Promise<string[]> {
  if (!existsSync(path)) return [];
  const settings = await readJsonObject(path, 'BAD_CHECKPOINT');
  const given = Object.entries(neutral).filter(
    ([name, values]) => ![undefined, null, ...values].includes(settings[name]),
  );
  if (given.length === 0) return [];
  const texts = given.map(([name]) => `${name} ${JSON.stringify(settings[name])}`);
  return [`${path} sets ${texts.join(', ')}: text is generated without, unless the same is given as an option.`];
}
