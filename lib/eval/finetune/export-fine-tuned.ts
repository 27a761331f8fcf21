/** Exports a fine-tuned model as a Hugging Face folder: its task's class, with its head and the names of its classes. */
import { type Tokenizer, withMarks } from '../../data/index.js';
import { ApolloError } from '../../errors.js';
import { checkExportFolder } from '../../interop/export-folder.js';
import { huggingFaceOf } from '../../interop/hugging-face-config.js';
import { withPrefix } from '../../interop/hugging-face-names.js';
import { tokenizerFiles } from '../../interop/hugging-face-tokenizer.js';
import { type WriteOptions, writeHuggingFaceFolder } from '../../interop/hugging-face-writer.js';
import * as is from '../../is.js';
import {
  createModel,
  type HuggingFaceFamily,
  type ModelConfig,
  objectiveOf,
  type ParameterSpec,
} from '../../models/index.js';
import { atDepth } from '../../train/checkpoint/at-depth.js';
import { type ExportedModel, textEnds } from '../../train/checkpoint/export-model.js';
import { readFineTuned } from './fine-tuned.js';
import { openFineTuned, type TunedTask } from './fine-tuned-folder.js';
import type { Head, HuggingFaceHead } from './head.js';
import { networkSpecs } from './network.js';
import { taskByName } from './tasks.js';

/** How {@link exportFineTuned} writes the folder. */
export interface ExportFineTunedOptions extends WriteOptions {
  /** The data that the model was tuned on, if that is not a task of this package. */
  readonly task?: TunedTask;
}

const takesExportFineTuned = is.takes('exportFineTuned', {
  folder: is.path,
  out: is.path,
  options: is.options({
    task: is.optional(is.tunedTask),
    dtype: is.optional(is.oneOf('f32', 'bf16', 'f16')),
    shardBytes: is.optional(is.count),
    force: is.optional(is.boolean),
    signal: is.optional(is.signal),
    onProgress: is.optional(is.func),
  }),
});

/**
 * Writes the fine-tuned model in `folder` as the folder `out`, which Python's `transformers` loads as
 * BertForSequenceClassification, BertForQuestionAnswering or the same of another family, with its tokenizer.
 * @example
 * await exportFineTuned('runs/sst2/pre-trained/seed-42/model', 'sst2-hf');
 * @throws ApolloError as openFineTuned; BAD_ARGUMENT for a head without a class there, when `out` may not be written, or
 * when a value does not fit the dtype; ABORT_ERR. Nothing is left behind then.
 */
export async function exportFineTuned(
  folder: string,
  out: string,
  options: ExportFineTunedOptions = {},
): Promise<ExportedModel> {
  takesExportFineTuned(folder, out, options);

  await checkExportFolder(out, options.force);
  const { task = taskByName((await readFineTuned(folder)).task) } = options;
  const { head } = task;
  const { task: theirs, outputs } = classOf(head);
  const source = await openFineTuned(folder, task);
  try {
    const { model, tokenizer, maxLength, layerMap, frame } = source;
    const byName = new Map(source.specs.map((spec) => [spec.name, spec]));
    const stored = Math.max(...layerMap) + 1;
    const { config, read } = atDepth(
      { config: model.config, layers: stored, layerMap, read: (name) => source.read(byName.get(name)!) },
      'full',
    );
    const warnings = [...source.warnings, ...warningsOf(config)];
    const files = await writeHuggingFaceFolder(out, {
      ...options,
      config,
      specs: inClass(theirs, huggingFaceOf(config), networkSpecs(createModel(config), head, config.layers)),
      read,
      fields: {
        architectures: [`${huggingFaceOf(config).classesOf(config).taskPrefix}For${theirs}`],
        ...(outputs && labelFields(outputs, classNames(task))),
        ...textEnds(config, tokenizer),
      },
      files: tokenizerFiles(frame === 'tokenizer' ? tokenizer : framedAsTuned(config, tokenizer), { maxLength }),
    });
    return { folder: out, config, autoClass: `AutoModelFor${theirs}`, stored, files, warnings };
  } finally {
    await source.close();
  }
}

function classOf(head: Head): HuggingFaceHead {
  if (head.huggingFace) return head.huggingFace;
  throw new ApolloError('BAD_ARGUMENT', `Hugging Face's library has no class for a head of ${head.kind}.`);
}

/** The parameters with the names that they have in the class. */
function inClass(
  task: HuggingFaceHead['task'],
  { prefix, heads: { spansPrefix = prefix } }: HuggingFaceFamily,
  specs: readonly ParameterSpec[],
): readonly ParameterSpec[] {
  return task === 'QuestionAnswering' ? specs.map((spec) => withPrefix(spec, prefix, spansPrefix)) : specs;
}

/** Names of a task's classes that say what they mean (`positive`), where their labels in its files are numbers. */
const classNames = ({ classes, labels }: TunedTask): readonly string[] | undefined =>
  classes?.names.map(([name], id) => name ?? String(id)) ?? labels;

/** A tokenizer that puts the special tokens of fine-tuning here around a text or two: a causal model's does not by itself. */
function framedAsTuned(config: ModelConfig, tokenizer: Tokenizer): Pick<Tokenizer, 'kind' | 'definition' | 'specials'> {
  const { kind, definition, specials } = tokenizer;
  const mark = specials.eot === undefined ? undefined : tokenizer.tokenOf(specials.eot);
  if (objectiveOf(config) === 'masked' || mark === undefined) return tokenizer;
  return { kind, specials, definition: withMarks(definition, mark, specials.eot!) };
}

/** As that library's configuration names outputs. */
function labelFields({ count, problem }: NonNullable<HuggingFaceHead['outputs']>, names?: readonly string[]) {
  const called = names ?? Array.from({ length: count }, (_, id) => `LABEL_${id}`);
  return {
    problem_type: problem,
    id2label: Object.fromEntries(called.map((name, id) => [id, name])),
    label2id: Object.fromEntries(called.map((name, id) => [name, id])),
  };
}

/** Warnings for users of the folder. */
function warningsOf(config: ModelConfig): string[] {
  if (objectiveOf(config) === 'masked') return [];
  return [
    'In Python a batch of several texts requires a separate padding token, by which its class finds the last token of each; ' +
      'without one give it one text at a time.',
  ];
}
