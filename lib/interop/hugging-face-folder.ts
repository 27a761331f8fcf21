/**
 * A model in a folder as Hugging Face's `save_pretrained` writes it: config.json beside model.safetensors, or beside
 * model.safetensors.index.json with its shards. BERT and GPT-2, with or without the prefixes of their heads' classes;
 * F32, F16 and BF16 tensors are read as f32.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ApolloError } from '../errors.js';
import type { ModelConfig } from '../models/config.js';
import { configFromHuggingFace } from './hugging-face-config.js';
import { type NamedShape, presentTensors, readForeign, tiedPairs } from './hugging-face-names.js';
import { SafetensorsReader } from './safetensors.js';
import { openShards, type TensorReader } from './sharded-safetensors.js';

export const configFile = 'config.json';
export const weightsFile = 'model.safetensors';
export const indexFile = 'model.safetensors.index.json';

export interface HuggingFaceFolder {
  readonly folder: string;
  readonly config: ModelConfig;
  /** All of config.json. */
  readonly json: Readonly<Record<string, unknown>>;
  /**
   * Whether the folder has the parameter.
   * @throws ApolloError BAD_CHECKPOINT when it has another shape, or only parts of it are there.
   */
  has(spec: NamedShape): boolean;
  /** The parameter's value; undefined when the folder does not have it. */
  read(spec: NamedShape): Promise<Float32Array | undefined>;
  /** Tensors that belong to none of `specs` and that no model of this kind is known to carry besides. */
  unused(specs: readonly NamedShape[]): string[];
  close(): Promise<void>;
}

/** Files of weights in other formats, and why they are not read. */
const otherFormats: readonly (readonly [file: string, what: string])[] = [
  ['pytorch_model.bin', 'a Python pickle, which runs code when it is read'],
  ['pytorch_model.bin.index.json', 'Python pickles, which run code when they are read'],
  ['tf_model.h5', "TensorFlow's format"],
  ['flax_model.msgpack', "Flax's format"],
];

/** What our models do without: pooler and next-sentence head, buffers of older versions, the tied tensors' second names. */
const ignored =
  /^(bert\.)?pooler\.|^cls\.seq_relationship\.|(^|\.)position_ids$|\.attn\.(masked_)?bias$|^cls\.predictions\.decoder\.|^lm_head\.weight$/;

/**
 * Opens a Hugging Face folder and checks what can be checked without reading all of it.
 * @throws ApolloError BAD_CHECKPOINT when files are missing or damaged, for another architecture or another format, or
 * when tensors that must be tied differ.
 */
export async function openHuggingFaceFolder(folder: string): Promise<HuggingFaceFolder> {
  const json = await readConfig(folder);
  const config = configFromHuggingFace(json, join(folder, configFile));
  const reader = await openWeights(folder);
  try {
    await checkTied(reader, config.kind);
  } catch (error) {
    await reader.close();
    throw error;
  }
  const { kind } = config;
  return {
    folder,
    config,
    json,
    has: (spec) => presentTensors(reader, kind, spec).length > 0,
    read: (spec) => readForeign(reader, kind, spec),
    unused(specs) {
      const used = new Set(specs.flatMap((spec) => presentTensors(reader, kind, spec)));
      return [...reader.tensors.keys()].filter((name) => !used.has(name) && !ignored.test(name)).sort();
    },
    close: () => reader.close(),
  };
}

/** The contents of config.json. */
async function readConfig(folder: string): Promise<Record<string, unknown>> {
  const path = join(folder, configFile);
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new ApolloError('BAD_CHECKPOINT', `${path}: cannot be read as JSON (${(error as Error).message}).`, {
      cause: error,
    });
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new ApolloError('BAD_CHECKPOINT', `${path}: must hold a JSON object.`);
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

/** @throws ApolloError BAD_CHECKPOINT when tensors that our models hold as one have different values. */
async function checkTied(reader: TensorReader, kind: ModelConfig['kind']): Promise<void> {
  for (const [first, second] of tiedPairs(reader, kind)) {
    const a = await reader.readFloat32(first);
    const b = await reader.readFloat32(second, reader.info(first).shape);
    if (bytesOf(a).equals(bytesOf(b))) continue;
    throw new ApolloError(
      'BAD_CHECKPOINT',
      `${reader.source}: "${first}" and "${second}" differ. Models here hold them as one (tie_word_embeddings), so this ` +
        'model cannot be represented.',
    );
  }
}

const bytesOf = (values: Float32Array): Buffer => Buffer.from(values.buffer, values.byteOffset, values.byteLength);
