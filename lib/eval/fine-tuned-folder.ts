/** Opens a fine-tuned model, kept here or saved by Hugging Face's library: its structure, its tokenizer, its weights. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  checkVocabulary,
  createTokenizer,
  loadTokenizer,
  type Tokenizer,
  type TokenizerDefinition,
} from '../data/index.js';
import type { Device } from '../engine/device.js';
import { ParameterStore } from '../engine/parameters.js';
import { ApolloError } from '../errors.js';
import { configFile, openHuggingFaceFolder } from '../interop/hugging-face-folder.js';
import { SafetensorsReader } from '../interop/safetensors.js';
import {
  createModel,
  declareSpecs,
  type LanguageModel,
  type ModelConfig,
  type ParameterSpec,
} from '../models/index.js';
import { isFineTuned, readFineTuned, readJson, standing, tokenizerFile, weightsFile } from './fine-tuned.js';
import { networkSpecs, unitsOf } from './network.js';
import type { FineTuneTask } from './task.js';

/** What must be known of the task that a model was tuned on. */
export type TunedTask = Pick<FineTuneTask, 'name' | 'title' | 'head' | 'labels' | 'maxLength'>;

interface Structure {
  readonly model: LanguageModel;
  /** Which trained layer stands at each place. */
  readonly layerMap: readonly number[];
  /** Tokens of a sequence at most. */
  readonly maxLength: number;
  readonly tokenizer: Tokenizer;
}

export interface FineTunedFolder extends Structure {
  /** Its body's and its head's. */
  readonly specs: readonly ParameterSpec[];
  /** @throws ApolloError BAD_CHECKPOINT when the weights are damaged. */
  read(spec: ParameterSpec): Promise<Float32Array>;
  close(): Promise<void>;
}

export interface FineTunedModel extends Structure {
  readonly store: ParameterStore;
  dispose(): void;
}

/**
 * Opens the folder of a model that was fine-tuned for `task`: one that finetune made, or one of Hugging Face's
 * BertFor… and GPT2ForSequenceClassification, BertFor… and GPT2ForQuestionAnswering with its tokenizer.
 * @throws ApolloError BAD_CHECKPOINT when the folder holds none or it is damaged; BAD_CONFIG when it was tuned on a task
 * with another head; BAD_TOKENIZER.
 */
export async function openFineTuned(folder: string, task: TunedTask): Promise<FineTunedFolder> {
  return !isFineTuned(folder) && existsSync(join(folder, configFile))
    ? openTheirs(folder, task)
    : openOurs(folder, task);
}

async function openOurs(named: string, task: TunedTask): Promise<FineTunedFolder> {
  const folder = standing(named);
  const { head, task: tunedOn, model: config, layerMap, maxLength } = await readFineTuned(folder);
  if (head !== task.head.kind) {
    throw new ApolloError(
      'BAD_CONFIG',
      `The model in ${folder} was fine-tuned on ${tunedOn} (${head}); ${task.title} needs ${task.head.kind}.`,
    );
  }
  const definition = await readJson(join(folder, tokenizerFile));
  const tokenizer = createTokenizer(definition as TokenizerDefinition, join(folder, tokenizerFile));
  const model = createModel(config as unknown as ModelConfig);
  const reader = await SafetensorsReader.open(join(folder, weightsFile));
  return {
    model,
    layerMap,
    maxLength,
    tokenizer,
    specs: networkSpecs(model, task.head, unitsOf(layerMap)),
    read: ({ name, shape }) => reader.readFloat32(name, shape),
    close: () => reader.close(),
  };
}

async function openTheirs(folder: string, task: TunedTask): Promise<FineTunedFolder> {
  const files = await openHuggingFaceFolder(folder);
  try {
    checkHead(folder, files.json, task);
    const { config } = files;
    const model = createModel(config);
    const specs = networkSpecs(model, task.head, config.layers);
    const missing = specs.find((spec) => !files.has(spec));
    if (missing) {
      throw new ApolloError(
        'BAD_CHECKPOINT',
        `${folder} lacks weights for ${task.title}: "${missing.name}" is not there.`,
      );
    }
    const tokenizer = loadTokenizer(folder);
    checkVocabulary(tokenizer, config.vocab);
    return {
      model,
      layerMap: Array.from({ length: config.layers }, (_, layer) => layer),
      maxLength: Math.min(task.maxLength ?? 128, config.maxPositions),
      tokenizer,
      specs,
      read: async (spec) => (await files.read(spec)) as Float32Array, // it is there: see above
      close: () => files.close(),
    };
  } catch (error) {
    await files.close();
    throw error;
  }
}

/** @throws ApolloError BAD_CONFIG when the class of the model, or the order of its classes, is not the task's. */
function checkHead(folder: string, json: Readonly<Record<string, unknown>>, { title, head, labels }: TunedTask): void {
  const wanted = head.huggingFace;
  const [architecture] = Array.isArray(json['architectures']) ? json['architectures'] : [];
  const names = json['id2label'] as Record<string, string> | undefined;
  const count = names ? Object.keys(names).length : Number(json['num_labels'] ?? 2);
  const outputs = wanted?.outputs?.count;
  if (!wanted || !String(architecture).endsWith(`For${wanted.task}`) || (outputs !== undefined && outputs !== count)) {
    throw new ApolloError(
      'BAD_CONFIG',
      `The model in ${folder} is a ${architecture ?? 'bare model'} with ${count} outputs; ${title} needs ${head.kind}.`,
    );
  }
  const theirs = names && Array.from({ length: count }, (_, id) => String(names[id]));
  if (!theirs || !labels || theirs.join() === labels.join()) return;
  if ([...theirs].sort().join() === [...labels].sort().join()) {
    throw new ApolloError(
      'BAD_CONFIG',
      `The model in ${folder} has the classes in the order ${theirs.join(', ')}; ${title} has ${labels.join(', ')} here. ` +
        'Put the rows of its classifier, and id2label, into that order.',
    );
  }
}

/**
 * Loads a fine-tuned model for `task` into a new store.
 * @throws ApolloError as openFineTuned.
 */
export async function loadFineTuned(
  device: Device,
  folder: string,
  task: TunedTask,
  precision: 'f32' | 'bf16' = 'f32',
): Promise<FineTunedModel> {
  const opened = await openFineTuned(folder, task);
  const store = new ParameterStore(device, { precision });
  try {
    declareSpecs(store, opened.specs);
    for (const spec of opened.specs) await store.write(spec.name, await opened.read(spec));
    const { model, layerMap, maxLength, tokenizer } = opened;
    return { model, layerMap, maxLength, tokenizer, store, dispose: () => store.dispose() };
  } catch (error) {
    store.dispose();
    throw error;
  } finally {
    await opened.close();
  }
}
