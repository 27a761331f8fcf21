/** Opens a fine-tuned model, kept here or saved by Hugging Face's library: its structure, its tokenizer, its weights. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { checkVocabulary, loadTokenizer, type Tokenizer } from '../../data/index.js';
import type { Device } from '../../engine/device.js';
import { ParameterStore } from '../../engine/parameters.js';
import { ApolloError } from '../../errors.js';
import { configFile, openHuggingFaceFolder } from '../../interop/hugging-face-folder.js';
import { SafetensorsReader } from '../../interop/safetensors.js';
import * as is from '../../is.js';
import {
  createModel,
  declareSpecs,
  type LanguageModel,
  type ModelConfig,
  objectiveOf,
  type ParameterSpec,
} from '../../models/index.js';
import { classOrder } from './class-names.js';
import type { SequenceFrame } from './encode.js';
import { isFineTuned, readFineTuned, standing, tokenizerFile, weightsFile } from './fine-tuned.js';
import { networkSpecs, trainedLayersOf } from './network.js';
import type { FineTuneTask } from './task.js';

/** Properties of the task that a model was tuned on. */
export type TunedTask = Pick<FineTuneTask, 'name' | 'title' | 'head' | 'labels' | 'classes' | 'maxLength'>;

interface Structure {
  /** The model that the folder's configuration describes; its body is used, with the task's head. */
  readonly model: LanguageModel;
  /** Which trained layer is at each place. */
  readonly layerMap: readonly number[];
  /** Tokens of a sequence at most. */
  readonly maxLength: number;
  /** The tokenizer that is kept with the model. */
  readonly tokenizer: Tokenizer;
  /** Whose special tokens stood around its texts in training, for `sequenceEncoder`. */
  readonly frame: SequenceFrame;
}

/** An open folder of a fine-tuned model, from {@link openFineTuned}; close it when done. */
export interface FineTunedFolder extends Structure {
  /** Warnings, one sentence each. */
  readonly warnings: readonly string[];
  /** Its body's and its head's. */
  readonly specs: readonly ParameterSpec[];
  /** The f32 values of a parameter, row-major. @throws {ApolloError} BAD_CHECKPOINT when the weights are damaged. */
  read(spec: ParameterSpec): Promise<Float32Array>;
  /** Closes the files. */
  close(): Promise<void>;
}

/** A fine-tuned model with its weights on a device, from {@link loadFineTuned}. */
export interface FineTunedModel extends Structure {
  /** Holds the weights of body and head on the device; `dispose` frees it. */
  readonly store: ParameterStore;
  /** Same as FineTunedFolder.warnings. */
  readonly warnings: readonly string[];
  /** Frees the weights. */
  dispose(): void;
}

const takesOpenFineTuned = is.takes('openFineTuned', { folder: is.path, task: is.tunedTask });

/**
 * Opens the folder of a model that was fine-tuned for `task`: one that finetune made, or one of Hugging Face's
 * classes of a supported family that end in ForSequenceClassification or ForQuestionAnswering, with its tokenizer.
 * @example
 * const folder = await openFineTuned('runs/sst2/pre-trained/seed-42/model', task);
 * await folder.close();
 * @throws ApolloError BAD_CHECKPOINT when the folder holds none or it is damaged; BAD_CONFIG when it was tuned on a task
 * with another head; BAD_TOKENIZER.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function openFineTuned(folder: string, task: TunedTask): Promise<FineTunedFolder> {
  takesOpenFineTuned(folder, task);

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
  const warnings =
    tunedOn === task.name
      ? []
      : [
          `The model in ${folder} was fine-tuned on ${tunedOn} and is used for ${task.name}: both have ${head}, but its ` +
            `outputs mean what they mean in ${tunedOn}.`,
        ];
  const tokenizer = loadTokenizer(join(folder, tokenizerFile));
  const model = createModel(config as unknown as ModelConfig);
  const reader = await SafetensorsReader.open(join(folder, weightsFile));
  return {
    model,
    layerMap,
    maxLength,
    tokenizer,
    frame: 'fine-tuning',
    warnings,
    specs: networkSpecs(model, task.head, trainedLayersOf(layerMap)),
    read: ({ name, shape }) => reader.readFloat32(name, shape),
    close: () => reader.close(),
  };
}

async function openTheirs(folder: string, task: TunedTask): Promise<FineTunedFolder> {
  const files = await openHuggingFaceFolder(folder);
  try {
    const { config } = files;
    const warnings = [...files.warnings];
    const rows = rowsOf(folder, files.json, task, warnings);
    const model = createModel(config);
    const specs = networkSpecs(model, task.head, config.layers);
    const missing = specs.find((spec) => !files.has(spec));
    if (missing) {
      throw new ApolloError(
        'BAD_CHECKPOINT',
        `${folder} lacks weights for ${task.title}: "${missing.name}" is not there.`,
      );
    }
    const unused = files.unused(specs).filter((name) => !/^(cls|lm_head)\./.test(name));
    if (unused.length > 0) {
      warnings.push(
        `${folder} contains tensors that ${task.title} does not use; they are ignored: ${unused.slice(0, 6).join(', ')}` +
          `${unused.length > 6 ? ', …' : ''}.`,
      );
    }
    const tokenizer = loadTokenizer(folder);
    checkVocabulary(tokenizer, config.vocabSize);
    return {
      model,
      layerMap: Array.from({ length: config.layers }, (_, layer) => layer),
      maxLength: Math.min(task.maxLength ?? 128, config.maxPositions),
      tokenizer,
      // Its trainer called the tokenizer. A BERT's puts the same tokens there as fine-tuning here.
      frame: objectiveOf(config) === 'causal' ? 'tokenizer' : 'fine-tuning',
      warnings,
      specs,
      async read(spec) {
        const values = (await files.read(spec)) as Float32Array; // it is there: see above
        return rows && spec.name.startsWith('classifier.') ? inOrder(values, rows) : values;
      },
      close: () => files.close(),
    };
  } catch (error) {
    await files.close();
    throw error;
  }
}

/** Names of classes without the head of a task: BertForMaskedLM, GPT2LMHeadModel, LlamaForCausalLM, BertModel. */
const languageModels = /(Model|LM|ForPreTraining)$/;

/**
 * Which row of the model's classifier stands for each of the task's classes; undefined where they are as they should be.
 * @throws ApolloError BAD_CONFIG when the class of the model is not the task's.
 */
function rowsOf(
  folder: string,
  json: Readonly<Record<string, unknown>>,
  { name, title, head, labels, classes }: TunedTask,
  warnings: string[],
): readonly number[] | undefined {
  const wanted = head.huggingFace;
  const [architecture] = Array.isArray(json['architectures']) ? json['architectures'] : [];
  const names = namesOf(json);
  const count = names?.length ?? Number(json['num_labels'] ?? 2);
  if (architecture === undefined || languageModels.test(String(architecture))) {
    throw new ApolloError(
      'BAD_CONFIG',
      `The model in ${folder} is a ${architecture ?? 'bare model'}, which has no head for ${title}. Fine-tune it first: ` +
        `apollo-lm finetune --task ${name} --model ${folder} --data FOLDER. --text measures a language model as it is.`,
    );
  }
  const outputs = wanted?.outputs?.count;
  if (!wanted || !String(architecture).endsWith(`For${wanted.task}`) || (outputs !== undefined && outputs !== count)) {
    throw new ApolloError(
      'BAD_CONFIG',
      `The model in ${folder} is a ${architecture} with ${count} outputs; ${title} needs ${head.kind}.`,
    );
  }
  const called = classes ?? (labels && { names: labels.map((label) => [label]), numbers: labels.map((_, i) => i) });
  if (!called) return undefined;
  const { rows, warning } = classOrder(called, names);
  if (warning) warnings.push(`${folder}: ${warning}.`);
  return rows.every((row, place) => row === place) ? undefined : rows;
}

/** Names of the classifier's rows in config.json, in order: `id2label`, or `label2id` the other way round. */
function namesOf(json: Readonly<Record<string, unknown>>): string[] | undefined {
  const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
  const { id2label, label2id } = json;
  if (isObject(id2label)) return Array.from(Object.keys(id2label), (_, row) => String(id2label[row]));
  if (!isObject(label2id)) return undefined;
  const names = Object.keys(label2id).sort((a, b) => Number(label2id[a]) - Number(label2id[b]));
  return names.every((name, row) => Number(label2id[name]) === row) ? names : undefined;
}

/** The columns of a matrix [inputs, rows.length], or the elements of a vector, in another order. */
function inOrder(values: Float32Array, rows: readonly number[]): Float32Array {
  const count = rows.length;
  return values.map((_, at) => values[at - (at % count) + rows[at % count]!]!);
}

const takesLoadFineTuned = is.takes('loadFineTuned', {
  device: is.device,
  folder: is.path,
  task: is.tunedTask,
  precision: is.precision,
});

/**
 * Loads a fine-tuned model for `task` into a new store.
 * @param device Where the weights are put. It stays open.
 * @param folder A folder that fine-tuning made, or one of Hugging Face, as for `openFineTuned`.
 * @param task The task that the model was tuned on.
 * @param precision Precision of matrix products; 'bf16' keeps a working copy of the matrices. Default: 'f32'.
 * @example
 * const tuned = await loadFineTuned(device, 'runs/sst2/pre-trained/seed-42/model', task);
 * @throws ApolloError as openFineTuned.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function loadFineTuned(
  device: Device,
  folder: string,
  task: TunedTask,
  precision: 'f32' | 'bf16' = 'f32',
): Promise<FineTunedModel> {
  takesLoadFineTuned(device, folder, task, precision);

  const opened = await openFineTuned(folder, task);
  const store = new ParameterStore(device, { precision });
  try {
    declareSpecs(store, opened.specs);
    for (const spec of opened.specs) await store.write(spec.name, await opened.read(spec));
    const { model, layerMap, maxLength, tokenizer, frame, warnings } = opened;
    return { model, layerMap, maxLength, tokenizer, frame, warnings, store, dispose: () => store.dispose() };
  } catch (error) {
    store.dispose();
    throw error;
  } finally {
    await opened.close();
  }
}
