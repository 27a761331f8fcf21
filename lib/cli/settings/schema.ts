/**
 * What settings there are: one flat set of keys, each also a long option (`evaluateEvery` is `--evaluate-every`), with the
 * values that they may have and their defaults.
 */
import * as z from 'zod';
import { knownMethods } from '../../methods/index.js';
import { exchangeSettings } from '../../train/exchange-settings.js';
import { decayShapeNames, scheduleNames } from '../../train/index.js';
import { muonSettings, optimizerName } from '../../train/optimizer.js';

export const defaultModel = 'gpt-mini';
/** What a device may be called. */
export const deviceName = { pattern: /^(cpu|cuda(:\d+)?)$/, expected: 'expected cpu, cuda or cuda:N' };
const count = z.int().min(1);
const field = z.union([z.string(), count], { error: 'expected a name, or a column as a number from 1' });
/** A path, perhaps with a weight (`books:0.3`), or an object that also defines how the files are read. */
export const inputObject = z.strictObject({
  path: z.union([z.string(), z.array(z.string()).min(1)], { error: 'expected a path or a list of paths' }),
  weight: z.number().positive().optional(),
  format: z.string().optional(),
  field: field.optional(),
  header: z.boolean().optional(),
  quotes: z.boolean().optional(),
  decodeEntities: z.boolean().optional(),
});
const input = z.union([z.string(), inputObject], {
  error: 'expected a path, or an object of path and perhaps weight, format, field, header, quotes, decodeEntities',
});
/** A name alone stands for an object with it. */
export const namedOptimizer = (value: unknown) => (typeof value === 'string' ? { name: value } : value);
const optimizerObject = z.strictObject({
  name: optimizerName.default('adamw'),
  beta1: z.number().min(0).lt(1).optional(),
  beta2: z.number().min(0).lt(1).optional(),
  epsilon: z.number().positive().optional(),
  weightDecay: z.number().min(0).optional(),
  maxNorm: z.number().min(0).optional(),
});
/** A method of the package, or one that a module has added by now. */
const methodName = z.string().superRefine((name, context) => {
  const values = knownMethods();
  if (!values.includes(name)) context.addIssue({ code: 'invalid_value', values, input: name });
});
/** A method, or one of `variants`; which there are is checked when all settings are known. */
const label = z.string();

export const schema = z.strictObject({
  /** Modules that add methods or model families: they are loaded first, and a resumed run loads them again. */
  import: z.preprocess((value) => (typeof value === 'string' ? [value] : value), z.array(z.string().min(1)).optional()),
  /**
   * A preset of lib/models, or `bert` / `gpt` for its mini size; `init`, the default where `init` is given: the structure
   * of that model. An object changes fields: `{ preset, dropout: 0 }`.
   */
  model: z.union([z.string(), z.looseObject({ preset: z.string() })]).default(defaultModel),
  /** A trained model to start from: folder of a run, a checkpoint or a Hugging Face model. */
  init: z.string().min(1).optional(),
  /** Files, folders or patterns; with weights (`['wiki:0.7', 'books:0.3']`) a mixture. See docs/data.md. */
  data: z.preprocess((value) => (typeof value === 'string' ? [value] : value), z.array(input).min(1).optional()),
  /** Format of the files; `auto`, and when left out: by their names. */
  format: z.string().optional(),
  /** Field of JSON lines, column of Parquet, CSV and TSV that is the text. Default: `text`. */
  field: field.optional(),
  /** CSV and TSV: whether the first row names the columns (default), and whether fields may be quoted (CSV: yes). */
  header: z.boolean().optional(),
  quotes: z.boolean().optional(),
  /** WikiExtractor's text: whether &lt; &gt; &amp; become < > &. */
  decodeEntities: z.boolean().optional(),
  /** A tokenizer file or folder, or `bpe` / `wordpiece`: trained on the data. Default: by the kind of model. */
  tokenizer: z.string().optional(),
  /** Takes special tokens that are written in the text, such as `[MASK]`, as text. */
  specialAsText: z.boolean().optional(),
  /** Vocabulary of the model and of a tokenizer that is trained. Default: the model's. */
  vocabSize: count.optional(),
  /** Share of the text kept back for evaluation; 0: none, and nothing is evaluated (not of `compare`). */
  heldOut: z.number().min(0).max(0.5).default(0.02),
  /** Where prepared corpora are kept. */
  cache: z.string().min(1, 'expected the name of a folder').default('.cache/apollo-lm'),
  /** For `train` and `plan`. */
  method: label.default('auto'),
  /** For `compare`; the others are compared with the first. */
  methods: z.array(label).min(2).default(['scratch', 'auto']),
  /** Settings of methods by name: `{ apollo: { sampler: 'edge' } }`. */
  methodOptions: z.partialRecord(methodName, z.record(z.string(), z.unknown())).default({}),
  /** Methods under names of their own, with settings over those of `methodOptions`: `{ ES: { method: 'apollo', sampler: 'edge' } }`. */
  variants: z
    .record(
      z.string().regex(/^[\w.+-]+$/, 'expected letters, digits and . + - _'),
      z.looseObject({ method: methodName }),
    )
    .default({}),
  /**
   * The smaller model that methods such as bert2BERT start from, trained from scratch first, once per seed. Widths
   * default to two thirds of the model's, layers, steps and rate to the run's; the warm-up is the same share of the steps.
   */
  small: z
    .strictObject({
      layers: count.optional(),
      hidden: count.optional(),
      heads: count.optional(),
      ffn: count.optional(),
      steps: count.optional(),
      learningRate: z.number().positive().optional(),
    })
    .default({}),
  /** Length of the run: optimizer steps, or tokens. */
  steps: count.optional(),
  tokens: z.number().min(1).optional(),
  /** Sequences of a micro-batch, tokens of a sequence, micro-batches of a step. */
  batch: count.default(16),
  seq: count.optional(),
  accumulation: count.default(1),
  /** Steps that each rank does by itself between two outer steps, see docs/distributed.md. Default: ranks share each step. */
  syncEvery: count.optional(),
  /** Learning rate and momentum of outer steps. */
  outerLearningRate: z.number().positive().optional(),
  outerMomentum: z.number().min(0).lt(1).optional(),
  /** Peak learning rate. */
  learningRate: z.number().positive().default(1e-3),
  /** Below 1: share of the steps; else steps. */
  warmup: z.number().min(0).default(0.025),
  /** Learning rate schedule after the warm-up. */
  schedule: z.enum(scheduleNames).default('cosine'),
  /** The decay phase at the end of `wsd`, and of the end-points of `anneal`: its share of the steps, and its shape. */
  decay: z
    .strictObject({ share: z.number().gt(0).max(1).optional(), shape: z.enum(decayShapeNames).optional() })
    .default({}),
  /** Checkpoints that are kept besides the newest: up to 1 shares of the run, above steps. `anneal` branches off there. */
  keepAt: z.array(z.number().gt(0)).default([]),
  /** Where to train: `cpu`, `cuda` (the first NVIDIA GPU; of several ranks each its own) or `cuda:N`. */
  device: z.string().regex(deviceName.pattern, deviceName.expected).default('cpu'),
  /** `auto`: bf16 where the device multiplies it in hardware, else f32. */
  precision: z.enum(['auto', 'f32', 'bf16']).default('auto'),
  /** On a GPU: f32 products may round their inputs to TF32. */
  tf32: z.boolean().default(false),
  /** On the CPU; 0: all cores. */
  threads: z.int().min(0).default(0),
  seed: z.int().default(42),
  /** For `compare`: the number of seeds, counted up from `seed`, or the seeds themselves. */
  seeds: z.union([count, z.array(z.int()).min(1)]).default(1),
  /** Steps between evaluations (default: 60 evaluations per run), and batches of each. */
  evaluateEvery: count.optional(),
  evaluationBatches: count.default(8),
  /** Steps between checkpoints, besides those by time, at the end and when stopped; 0: none. */
  checkpointEvery: z.int().min(0).default(0),
  /** Minutes of training between checkpoints; 0: none by time. */
  checkpointMinutes: z.number().min(0).default(10),
  /** Checkpoints that are kept. */
  keepCheckpoints: count.default(2),
  /** Resume from the checkpoints in `out`. */
  resume: z.boolean().default(false),
  /** Folder for what the run leaves behind. */
  out: z.string().min(1, 'expected the name of a folder').optional(),
  /** Writes event files for TensorBoard: `true` into the run's folder, or a folder. */
  tensorboard: z.union([z.boolean(), z.string().min(1)]).default(false),
  /** A live page on this machine: `true` on any free port, or a port. */
  dashboard: z
    .union([z.boolean(), z.int().min(0).max(65535)], { error: 'expected true, false or a port' })
    .default(false),
  /** Whether the page stays after the end, until Ctrl-C. */
  dashboardKeep: z.boolean().default(false),
  /** `adamw` or `muon`, or an object with its name, AdamW's beta1, beta2 and epsilon, weightDecay and maxNorm. */
  optimizer: z.preprocess(namedOptimizer, optimizerObject).default({ name: 'adamw' }),
  /** For several ranks, see docs/distributed.md: how gradients travel; whether ranks share the optimizer's state; whether
   * they exchange gradients during the backward pass. */
  ...exchangeSettings,
  /** Muon's settings, see docs/optimizers.md: `{ momentum: 0.9 }`. */
  muon: muonSettings.default({}),
});

export type Settings = z.output<typeof schema> & {
  /** Ranks that share each step, where there are several; not a setting of a file: the launcher defines it. */
  readonly ranks?: number;
};
export type SettingsInput = z.input<typeof schema>;
export const settingNames = Object.keys(schema.shape) as (keyof z.output<typeof schema>)[];

/** The default of a setting as it is written on a command line; undefined for a switch and where there is none. */
export function settingDefault(key: string): string | undefined {
  const field = (schema.shape as Readonly<Record<string, z.ZodType>>)[key];
  const { data } = field?.safeParse(undefined) ?? {};
  const value = isObject(data) ? data['name'] : data;
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  return Array.isArray(value) && value.length > 0 ? value.join(',') : undefined;
}

/** `evaluateEvery` -> `--evaluate-every`. */
export function flagOf(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Settings that are objects with known fields. */
export const nestedSettings = {
  small: schema.shape.small.unwrap(),
  optimizer: optimizerObject,
  muon: muonSettings,
  decay: schema.shape.decay.unwrap(),
} as const;
/** Names of settings whose fields `--set NAME.FIELD=VALUE` gives. */
export const nestedNames = Object.keys(nestedSettings);

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
