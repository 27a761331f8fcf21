/** Exports a trained model as a Hugging Face folder. */
import { beginOf, checkVocabulary, loadTokenizer, type Tokenizer } from '../../data/index.js';
import { checkExportFolder } from '../../interop/export-folder.js';
import { tokenizerFiles } from '../../interop/hugging-face-tokenizer.js';
import {
  type TextFile,
  type WriteOptions,
  type WrittenFile,
  writeHuggingFaceFolder,
} from '../../interop/hugging-face-writer.js';
import * as is from '../../is.js';
import { createModel, type ModelConfig, objectiveOf } from '../../models/index.js';
import { atDepth } from './at-depth.js';
import { type ModelFolder, type OpenOptions, openModelFolder } from './model-folder.js';

/** How {@link exportModel} writes the folder. */
export interface ExportOptions extends OpenOptions, WriteOptions {
  /**
   * 'full': the finished model's depth, every place with the weights of the stored layer that is there; 'stored': the
   * stored layers alone. They differ only for a model that was still growing.
   */
  readonly depth?: 'full' | 'stored';
  /** A tokenizer's file or folder, in place of the one that is found with the model. */
  readonly tokenizer?: string | undefined;
}

/** What {@link exportModel} has written. */
export interface ExportedModel {
  /** The folder that was written, as it was given. */
  readonly folder: string;
  /** Configuration of the exported model, with the number of layers that `depth` says. */
  readonly config: ModelConfig;
  /** Python's class that loads it by its config.json. */
  readonly autoClass: string;
  /** Layers that the exported weights were made of. */
  readonly stored: number;
  /** The files of the folder with their sizes in bytes. */
  readonly files: readonly WrittenFile[];
  /** Warnings for the user, one sentence each: those of the opened model, and that no tokenizer was found. */
  readonly warnings: readonly string[];
}

const takesExportModel = is.takes('exportModel', {
  path: is.path,
  out: is.path,
  options: is.options({
    depth: is.optional(is.oneOf('full', 'stored')),
    tokenizer: is.optional(is.path),
    seed: is.optional(is.integer),
    dtype: is.optional(is.oneOf('f32', 'bf16', 'f16')),
    shardBytes: is.optional(is.count),
    force: is.optional(is.boolean),
    signal: is.optional(is.signal),
    onProgress: is.optional(is.func),
  }),
});

/**
 * Writes the model in `path` as the folder `out`, which Python's `transformers` loads as BertForMaskedLM, GPT2LMHeadModel or
 * the class of its family.
 * ```ts
 * await exportModel('runs/train', 'exported', { dtype: 'bf16' });
 * ```
 * @throws ApolloError BAD_CHECKPOINT as openModelFolder; BAD_TOKENIZER or BAD_CONFIG for a tokenizer that cannot be read or
 * has more tokens than the model; BAD_ARGUMENT when `out` may not be written or a value does not fit the dtype; ABORT_ERR.
 * Nothing is left behind then.
 */
export async function exportModel(path: string, out: string, options: ExportOptions = {}): Promise<ExportedModel> {
  takesExportModel(path, out, options);

  const { depth = 'full' } = options;
  await checkExportFolder(out, options.force);
  const source = await openModelFolder(path, options);
  try {
    const { config, read } = atDepth(source, depth);
    const tokenizer = tokenizerOf(source, options.tokenizer);
    const warnings = [...source.warnings];
    if (!tokenizer) {
      warnings.push(
        `No tokenizer was found with the model in ${source.folder}; the export has none (--tokenizer names one).`,
      );
    }
    const files = await writeHuggingFaceFolder(out, {
      ...options,
      config,
      specs: createModel(config).parameters(config.layers),
      read,
      ...withTokenizer(config, tokenizer),
    });
    const autoClass = objectiveOf(config) === 'masked' ? 'AutoModelForMaskedLM' : 'AutoModelForCausalLM';
    return { folder: out, config, autoClass, stored: source.layers, files, warnings };
  } finally {
    await source.close();
  }
}

function tokenizerOf({ tokenizerPath, config }: ModelFolder, named: string | undefined): Tokenizer | undefined {
  const path = named ?? tokenizerPath;
  if (path === undefined) return undefined;
  const tokenizer = loadTokenizer(path);
  checkVocabulary(tokenizer, config.vocabSize);
  return tokenizer;
}

/**
 * Fields of config.json of causal models: the ids at which text starts and ends. Without them Python takes those of the
 * published models' vocabularies.
 */
export function textEnds(config: ModelConfig, tokenizer: Tokenizer | undefined) {
  if (objectiveOf(config) === 'masked') return {};
  const end = tokenizer?.specials.eot ?? null;
  const begin = tokenizer && beginOf(tokenizer.definition);
  const ends = tokenizer?.endIds ?? [];
  return { bos_token_id: begin ?? end, eos_token_id: ends.length > 1 ? ends : end };
}

/** Additions from the tokenizer: its files, and for causal models the ids at which text starts and ends. */
function withTokenizer(config: ModelConfig, tokenizer: Tokenizer | undefined) {
  const files: TextFile[] = tokenizer ? tokenizerFiles(tokenizer, { maxLength: config.maxPositions }) : [];
  if (objectiveOf(config) === 'masked') return { files };
  const fields = textEnds(config, tokenizer);
  const generation = fields.eos_token_id === null ? {} : fields;
  return {
    fields,
    files: [...files, { name: 'generation_config.json', content: `${JSON.stringify(generation, null, 2)}\n` }],
  };
}
