/**
 * A model in a folder as Hugging Face's `save_pretrained` writes it: config.json next to model.safetensors, or next to
 * model.safetensors.index.json with its shards, with or without the prefixes of their heads' classes;
 * tensors of every float type are read as f32.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ApolloError } from '../errors.js';
import { readJsonObject } from '../fs/json-object.js';
import * as is from '../is.js';
import type { ModelConfig } from '../models/config.js';
import { configFromHuggingFace, huggingFaceOf } from './hugging-face-config.js';
import { hasOwn, type NamedShape, presentTensors, readForeign, tiedPairs } from './hugging-face-names.js';
import { SafetensorsReader } from './safetensors.js';
import { openShards, type TensorReader } from './sharded-safetensors.js';
import { type UnwrappedReader, unwrapped } from './wrapped-names.js';

export const configFile = 'config.json';
export const weightsFile = 'model.safetensors';
export const indexFile = 'model.safetensors.index.json';

/** An open Hugging Face folder, from {@link openHuggingFaceFolder}; close it when done. */
export interface HuggingFaceFolder {
  /** Path of the folder, as it was given. */
  readonly folder: string;
  /** Configuration of the model by config.json, with `tied` as the weights have it. */
  readonly config: ModelConfig;
  /** Warnings about how it was read, one sentence each. */
  readonly warnings: readonly string[];
  /** All of config.json. */
  readonly json: Readonly<Record<string, unknown>>;
  /**
   * Whether the folder has the parameter.
   * @throws ApolloError BAD_CHECKPOINT when it has another shape, or only parts of it are there.
   */
  has(spec: NamedShape): boolean;
  /** The parameter's value; undefined when the folder does not have it. */
  read(spec: NamedShape): Promise<Float32Array | undefined>;
  /** Tensors, by their names in the files, that belong to none of `specs` and that no model of this kind is known to carry besides. */
  unused(specs: readonly NamedShape[]): string[];
  /** Closes the files. */
  close(): Promise<void>;
}

/** Files of weights in other formats, and why they are not read. */
const otherFormats: readonly (readonly [file: string, what: string])[] = [
  ['pytorch_model.bin', 'a Python pickle, which runs code when it is read'],
  ['pytorch_model.bin.index.json', 'Python pickles, which run code when they are read'],
  ['tf_model.h5', "TensorFlow's format"],
  ['flax_model.msgpack', "Flax's format"],
];

/** Buffers of older versions. */
const buffers = /(^|\.)position_ids$/;

const takesOpenHuggingFaceFolder = is.takes('openHuggingFaceFolder', { folder: is.path });

/**
 * Opens a Hugging Face folder and checks what can be checked without reading all of it. Of a model whose head has an output
 * matrix of its own, `config.tied` is false, whether config.json or the weights say so.
 * @example
 * const folder = await openHuggingFaceFolder('gpt2');
 * console.log(folder.config.layers, folder.warnings);
 * await folder.close();
 * @throws ApolloError BAD_CHECKPOINT when files are missing or damaged, for another architecture or another format.
 */
export async function openHuggingFaceFolder(folder: string): Promise<HuggingFaceFolder> {
  takesOpenHuggingFaceFolder(folder);
  const json = await readJsonObject(join(folder, configFile), 'BAD_CHECKPOINT');
  const described = configFromHuggingFace(json, join(folder, configFile));
  const family = huggingFaceOf(described);
  const reader = unwrapped(await openWeights(folder), family.prefix);
  const warnings: string[] = [];
  if (reader.wrappers.length > 0) {
    warnings.push(
      `Names of tensors in ${reader.source} have ${reader.wrappers.map((each) => `"${each}"`).join(' and ')} in them, which ` +
        "a wrapper around the model has added (torch's DataParallel, compile and others); they are removed.",
    );
  }
  let config: ModelConfig;
  try {
    config = await withTying(reader, described, warnings);
  } catch (error) {
    await reader.close();
    throw error;
  }
  return {
    folder,
    config,
    json,
    warnings,
    has: (spec) => presentTensors(reader, family, spec).length > 0,
    read: (spec) => readForeign(reader, family, spec),
    unused(specs) {
      const used = new Set(specs.flatMap((spec) => presentTensors(reader, family, spec)));
      const ignored = (name: string) =>
        buffers.test(name) || family.ignored.test(name) || family.tied.some(({ other }) => other === name);
      const rest = [...reader.tensors.keys()].filter((name) => !used.has(name) && !ignored(name));
      return rest.map((name) => reader.nameInFile(name)).sort();
    },
    close: () => reader.close(),
  };
}

async function openWeights(folder: string): Promise<TensorReader> {
  if (existsSync(join(folder, weightsFile))) return SafetensorsReader.open(join(folder, weightsFile));
  if (existsSync(join(folder, indexFile))) return openShards(join(folder, indexFile));
  const other = otherFormats.find(([file]) => existsSync(join(folder, file)));
  if (!other) {
    throw new ApolloError(
      'BAD_CHECKPOINT',
      `${folder} has a ${configFile} but no weights: expected ${weightsFile}, or ${indexFile} with its files.`,
    );
  }
  throw new ApolloError(
    'BAD_CHECKPOINT',
    `${folder} holds its weights as ${other[0]}: ${other[1]}. Only safetensors files are read. Convert them once, in ` +
      `Python: from transformers import AutoModelForPreTraining as M; M.from_pretrained(${JSON.stringify(folder)})` +
      `.save_pretrained(NEW_FOLDER); then copy the tokenizer's files.`,
  );
}

/**
 * The configuration with `tied` as the weights have it. A file with both tensors of a pair, and different values in them,
 * holds an untied model, even if config.json says otherwise: transformers (from version 5) reads it so too.
 * @throws ApolloError BAD_CHECKPOINT when the model is not tied and has no word table.
 */
async function withTying(reader: UnwrappedReader, config: ModelConfig, warnings: string[]): Promise<ModelConfig> {
  const family = huggingFaceOf(config);
  let tied = config.tied !== false;
  for (const [first, second] of tied ? tiedPairs(reader, family) : []) {
    const a = await reader.readFloat32(first);
    const b = await reader.readFloat32(second, reader.info(first).shape);
    if (bytesOf(a).equals(bytesOf(b))) continue;
    warnings.push(
      `${reader.source}: "${reader.nameInFile(first)}" and "${reader.nameInFile(second)}" differ, though ${configFile} does not untie them ` +
        `(tie_word_embeddings: false). The output is computed with "${second}".`,
    );
    if (second.endsWith('weight')) tied = false;
  }
  const [table] = family.tied;
  if (!tied && table && !hasOwn(reader, family, table.name)) {
    throw new ApolloError(
      'BAD_CHECKPOINT',
      `${reader.source}: tensor "${table.name}" is missing, and ${configFile} does not tie it to another tensor ` +
        '(tie_word_embeddings: false).',
    );
  }
  return tied ? config : { ...config, tied };
}

const bytesOf = (values: Float32Array): Buffer => Buffer.from(values.buffer, values.byteOffset, values.byteLength);
