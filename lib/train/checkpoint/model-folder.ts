/**
 * A trained model in a folder, written by a run of this package or by Hugging Face's `save_pretrained`. The one
 * place that finds it, checks it and reads its weights; load-model.ts, export-model.ts and runs that start from a trained model
 * use it.
 */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { holdsTokenizer } from '../../data/index.js';
import { ApolloError } from '../../errors.js';
import { readJsonObject } from '../../fs/json-object.js';
import {
  configFile,
  indexFile,
  openHuggingFaceFolder,
  weightsFile as pretrained,
} from '../../interop/hugging-face-folder.js';
import { SafetensorsReader } from '../../interop/safetensors.js';
import * as is from '../../is.js';
import type { WeightSource } from '../../methods/method.js';
import {
  createModel,
  drawnValue,
  type LanguageModel,
  type ModelConfig,
  type ParameterSpec,
} from '../../models/index.js';
import {
  type CheckpointState,
  damageOf,
  flopsLayersOf,
  isDamage,
  modelConfigOf,
  readCheckpointState,
  stateFile,
  verifyFile,
  weightsFile,
} from './checkpoint.js';
import { type CheckpointFolder, listCheckpoints, newestCheckpoint } from './checkpoint-folder.js';
import { closedGates, withBranchScales } from './open-gates.js';

/** The description of a fine-tuned model in its folder (lib/eval/finetune/fine-tuned.ts). */
export const fineTunedFile = 'finetuned.json';

/** Training cost of a model and of the model that its run started from, from its checkpoint. */
export interface SourceCosts {
  /** Tokens that it was trained on. */
  readonly tokens: number;
  /** Training FLOPs by the paper's accounting. */
  readonly flopsModel: number;
  /** The same without the FLOPs of the language-model head. */
  readonly flopsLayers: number;
  /** FLOPs of what ran. */
  readonly flopsExecuted: number;
  /** Training time in milliseconds, without evaluations and checkpoints. */
  readonly trainMs: number;
}

/** An open folder of a trained model, from {@link openModelFolder}; close it when done. */
export interface ModelFolder extends WeightSource {
  /** The folder that holds the weights: of a run, that of its newest checkpoint. */
  readonly folder: string;
  /** Who wrote it: a run of this package, or Hugging Face's library (or an export). */
  readonly kind: 'checkpoint' | 'hugging-face';
  /** Runs the stored layers at full depth: `config.layers` places, each naming one of `layers` stored layers. */
  readonly layerMap: readonly number[];
  /** A file or folder for loadTokenizer, when there is one with the model. */
  readonly tokenizerPath: string | undefined;
  /** Its training cost; undefined for models of other origin. */
  readonly costs: SourceCosts | undefined;
  /**
   * The f32 values of a parameter that is not the language model's, such as a pooler's, by its names in Hugging Face's
   * library; undefined where the folder has none. Absent for runs of this package, which hold language models alone.
   */
  readBeside?(spec: ParameterSpec): Promise<Float32Array | undefined>;
  /** Warnings for the user, one sentence each: parameters with initial values, skipped tensors. */
  readonly warnings: readonly string[];
  /** Closes the files. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** How {@link openModelFolder} reads a folder. */
export interface OpenOptions {
  /** Seed for the parameters that the folder lacks: the masked-language-model head of a bare BertModel. */
  readonly seed?: number;
}

const takesOpenModelFolder = is.takes('openModelFolder', {
  path: is.path,
  options: is.object('an object of options (seed)', { seed: is.optional(is.integer) }),
});

/**
 * Opens a trained model: a run's folder, the folder of its checkpoints, one checkpoint, or a Hugging Face folder. Files
 * are checked now and tensors read when asked for. Nothing in the folder is changed, so a run that is going on may be
 * opened too. `read` gives f32 values under this package's parameter names. Scales of residual branches, partly open in
 * the run, are in the values; gates of whole layers (BERT) cannot be, and give a warning.
 * @example
 * const folder = await openModelFolder('runs/gpt');
 * const table = await folder.read('embeddings.word');
 * await folder.close();
 * @throws ApolloError BAD_CHECKPOINT when there is no model, it is damaged or cannot be represented here, or its weights
 * were expressions of other parameters when the checkpoint was written.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function openModelFolder(path: string, options: OpenOptions = {}): Promise<ModelFolder> {
  takesOpenModelFolder(path, options);

  if (existsSync(join(path, stateFile))) return openCheckpoint(path);
  const run = await newestOfRun(path);
  if (run) {
    const { directory, newest } = run;
    return openCheckpoint(newest.path).catch((error: unknown) => openOlder(directory, newest, error));
  }
  if (existsSync(join(path, configFile))) return openPretrained(path, options);
  if (existsSync(join(path, fineTunedFile))) {
    throw new ApolloError(
      'BAD_CHECKPOINT',
      `${path} holds a fine-tuned model${await taskOf(path)}, whose head is a task's. To start from its body, export it first: ` +
        `apollo-lm export ${path} --out FOLDER. evaluate --data measures it as it is.`,
    );
  }
  throw new ApolloError('BAD_CHECKPOINT', `There is no model in ${path}: ${await whatIsThere(path)}`);
}

/** Whether openModelFolder finds a model in `path`, which may be damaged. */
export async function holdsModel(path: string): Promise<boolean> {
  if (existsSync(join(path, stateFile)) || existsSync(join(path, configFile))) return true;
  return (await newestOfRun(path)) !== undefined;
}

/** The newest checkpoint of a run whose folder, or folder of checkpoints, is `path`. */
async function newestOfRun(path: string): Promise<{ directory: string; newest: CheckpointFolder } | undefined> {
  for (const directory of [join(path, 'checkpoints'), path]) {
    const newest = await newestCheckpoint(directory);
    if (newest) return { directory, newest };
  }
  return undefined;
}

/** " (sst2)" of a folder that fine-tuning made; empty where its description cannot be read. */
async function taskOf(path: string): Promise<string> {
  const { task } = await readJsonObject(join(path, fineTunedFile), 'BAD_CHECKPOINT').catch(() => ({ task: undefined }));
  return typeof task === 'string' ? ` (${task})` : '';
}

/** Explains why a folder is not a model, and what to do. */
async function whatIsThere(path: string): Promise<string> {
  const names = await readdir(path).catch((error: NodeJS.ErrnoException) => error.code ?? error.message);
  if (typeof names === 'string') {
    return names === 'ENOENT' ? 'there is no such folder.' : `it cannot be read as a folder (${names}).`;
  }
  const runs: string[] = [];
  for (const name of names.sort()) if (await newestCheckpoint(join(path, name))) runs.push(name);
  if (runs.length > 0) return `it is a comparison of several runs. Name one of them: ${runs.join(', ')}.`;
  if (names.includes(pretrained) || names.includes(indexFile)) {
    return `it has weights but no ${configFile}, which describes them.`;
  }
  return (
    'expected the folder of a run, of its checkpoints or of one checkpoint, or a Hugging Face folder with ' +
    `${configFile} and ${pretrained}.`
  );
}

/** The newest checkpoint before one that is damaged, with a warning. Other errors are thrown. */
async function openOlder(directory: string, newest: CheckpointFolder, error: unknown): Promise<ModelFolder> {
  if (!isDamage(error)) throw error;
  const older = (await listCheckpoints(directory)).filter(({ step }) => step < newest.step).reverse();
  for (const { path, step } of older) {
    if (await damageOf(path)) continue;
    const opened = await openCheckpoint(path);
    return {
      ...opened,
      warnings: [`${error.message} This is the model of step ${step}: ${path}.`, ...opened.warnings],
    };
  }
  throw error;
}

async function openCheckpoint(folder: string): Promise<ModelFolder> {
  const state = await readCheckpointState(folder);
  if (state.stage.reparameterised) {
    throw new ApolloError(
      'BAD_CHECKPOINT',
      `The checkpoint ${folder} was written while the operators of its method were trained and holds no model yet. ` +
        'Resume the run until that stage has ended.',
    );
  }
  const config = modelConfigOf(state);
  const layers = state.stage.trainedLayers;
  await verifyFile(folder, weightsFile, state);
  const specs = specsByName(createModel(config), layers);
  const { gates = {} } = state;
  const reader = await SafetensorsReader.open(join(folder, weightsFile));
  return {
    folder,
    kind: 'checkpoint',
    config,
    layers,
    layerMap: state.layerMap,
    tokenizerPath: tokenizerNear(folder),
    costs: costsOf(state),
    warnings: closedGates(folder, gates),
    read: async (name) => {
      const spec = specOf(specs, name, folder);
      return withBranchScales(spec, await reader.readFloat32(name, spec.shape), gates);
    },
    close: () => reader.close(),
    [Symbol.asyncDispose]: () => reader.close(),
  };
}

/** The costs of a run and of its initial model, if recorded. */
function costsOf(state: CheckpointState): SourceCosts {
  const { totals, source } = state;
  const own = { ...totals, flopsLayers: flopsLayersOf(state) };
  if (!source) return own;
  const keys = ['tokens', 'flopsModel', 'flopsLayers', 'flopsExecuted', 'trainMs'] as const;
  return Object.fromEntries(keys.map((key) => [key, own[key] + source[key]])) as unknown as SourceCosts;
}

async function openPretrained(folder: string, { seed = 0 }: OpenOptions): Promise<ModelFolder> {
  const files = await openHuggingFaceFolder(folder);
  try {
    const { config } = files;
    const model = modelOf(config, folder);
    const specs = specsByName(model, config.layers);
    const ofBody = new Set(model.body.parameters(config.layers).map(({ name }) => name));
    const all = [...specs.values()];
    const missing = all.filter((spec) => !files.has(spec)).map(({ name }) => name);
    const needed = missing.filter((name) => ofBody.has(name));
    if (needed.length > 0) {
      throw new ApolloError(
        'BAD_CHECKPOINT',
        `${folder} lacks weights of the model that its ${configFile} describes, ${needed.length} parameters: ${few(needed)}.`,
      );
    }
    const warnings = [...files.warnings];
    if (missing.length > 0) {
      const what =
        model.objective === 'masked'
          ? 'is a bare encoder without a masked-language-model head'
          : `has no output matrix, and its ${configFile} does not tie it to the word embeddings`;
      warnings.push(
        `${folder} ${what}; these are initial values: ${few(missing)}. ` +
          'Continue the training before you use its predictions.',
      );
    }
    const unused = files.unused(all);
    if (unused.length > 0) {
      warnings.push(`${folder} contains tensors that this model does not use; they are ignored: ${few(unused)}.`);
    }
    return {
      folder,
      kind: 'hugging-face',
      config,
      layers: config.layers,
      layerMap: Array.from({ length: config.layers }, (_, layer) => layer),
      tokenizerPath: holdsTokenizer(folder) ? folder : undefined,
      costs: undefined,
      warnings,
      async read(name) {
        const spec = specOf(specs, name, folder);
        return (await files.read(spec)) ?? (await drawnValue(spec, seed));
      },
      readBeside: async (spec) => (spec.foreign ? files.read(spec) : undefined),
      close: () => files.close(),
      [Symbol.asyncDispose]: () => files.close(),
    };
  } catch (error) {
    await files.close();
    throw error;
  }
}

/** The model of a configuration that came from a file, which its errors name. */
function modelOf(config: ModelConfig, folder: string): LanguageModel {
  try {
    return createModel(config);
  } catch (error) {
    if (!(error instanceof ApolloError)) throw error;
    throw new ApolloError('BAD_CHECKPOINT', `${join(folder, configFile)}: ${error.message}`, { cause: error });
  }
}

function specsByName(model: LanguageModel, layers: number): ReadonlyMap<string, ParameterSpec> {
  return new Map(model.parameters(layers).map((spec) => [spec.name, spec]));
}

function specOf(specs: ReadonlyMap<string, ParameterSpec>, name: string, folder: string): ParameterSpec {
  const spec = specs.get(name);
  if (!spec) throw new ApolloError('BAD_ARGUMENT', `The model in ${folder} has no parameter "${name}".`);
  return spec;
}

/** The first few of some names. */
function few(names: readonly string[]): string {
  return `${names.slice(0, 6).join(', ')}${names.length > 6 ? ', …' : ''}`;
}

/** A run keeps its tokenizer two folders above each checkpoint; one that was moved may have it nearer. */
function tokenizerNear(checkpoint: string): string | undefined {
  const folders = [checkpoint, dirname(checkpoint), dirname(dirname(checkpoint))];
  return folders.map((folder) => join(folder, 'tokenizer.json')).find((path) => existsSync(path));
}
