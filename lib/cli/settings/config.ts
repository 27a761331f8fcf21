/**
 * The settings of a command: one flat set of keys, each also a long option (`evaluateEvery` is `--evaluate-every`). They come
 * from a preset, a JSON file and the command line, later ones winning; an error names the key and where it came from.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import * as z from 'zod';
import { isUtf16, savedAsUtf16 } from '../../data/read/utf8.js';
import { ApolloError } from '../../errors.js';
import { inWords } from '../../fs/error.js';
import { knownMethods } from '../../methods/index.js';
import { renamedText, withCurrentNames } from '../../renamed.js';
import { issueText } from '../../setting-issue.js';
import { nearest, unknownName } from '../../suggest.js';
import { exchangeSettings } from '../../train/exchange-settings.js';
import { decayShapeNames, scheduleNames } from '../../train/index.js';
import { muonSettings, optimizerName } from '../../train/optimizer.js';
import { withModules } from './modules.js';
import { runPreset } from './presets.js';
import { checkUnused } from './unused.js';

const defaultModel = 'gpt-mini';
const count = z.int().min(1);
const field = z.union([z.string(), count], { error: 'expected a name, or a column as a number from 1' });
/** A path, perhaps with a weight (`books:0.3`), or an object that also defines how the files are read. */
const inputObject = z.strictObject({
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
const namedOptimizer = (value: unknown) => (typeof value === 'string' ? { name: value } : value);
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

const schema = z.strictObject({
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
   * default to two thirds of the model's, layers, steps and rate to the run's.
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
  device: z
    .string()
    .regex(/^(cpu|cuda(:\d+)?)$/, 'expected cpu, cuda or cuda:N')
    .default('cpu'),
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

export interface SettingSources {
  /** Name of a run preset, see presets.ts. */
  readonly preset?: string | undefined;
  /** Path of a JSON file. */
  readonly config?: string | undefined;
  /** Whether `config` is what an earlier run kept in its folder, perhaps with names that settings had then. */
  readonly keptByRun?: boolean | undefined;
  /** Settings from the command line. */
  readonly flags: Readonly<Record<string, unknown>>;
  /** The setting that says what the command trains. Default: it may be either. */
  readonly trains?: 'method' | 'methods' | undefined;
}

/**
 * The settings of a command, checked and with defaults.
 * @throws ApolloError BAD_CONFIG with one line for each problem: `run.json: stpes: there is no such setting; did you
 * mean "steps"?`, `--batch: expected at least 1; got 0`.
 */
export function loadSettings({ preset, config, keptByRun, flags, trains }: SettingSources): Settings {
  const layers: { readonly values: Readonly<Record<string, unknown>>; readonly name: (key: string) => string }[] = [];
  if (preset !== undefined) layers.push({ values: runPreset(preset), name: (key) => `preset ${preset}: ${key}` });
  if (config !== undefined) {
    const values = readConfigFile(config);
    layers.push({
      values: keptByRun ? (withCurrentNames(values) as typeof values) : values,
      name: (key) => `${config}: ${key}`,
    });
  }
  layers.push({ values: flags, name: flagOf });

  const begins = layers.some(({ values }) => values['init'] !== undefined);
  const merged: Record<string, unknown> = { model: begins ? 'init' : defaultModel };
  const origin = new Map<string, (key: string) => string>();
  for (const { values: given, name } of layers) {
    const values = withModules(given, name === flagOf || config === undefined ? '.' : dirname(config));
    // Steps and tokens both set the length; the later layer decides.
    if (values['steps'] !== undefined) delete merged['tokens'];
    if (values['tokens'] !== undefined) delete merged['steps'];
    for (const [key, value] of Object.entries(values)) {
      if (value === undefined) continue;
      merged[key] = combine(key, merged[key], key === 'optimizer' ? namedOptimizer(value) : value);
      origin.set(key, name);
    }
  }
  const where = (key: string) => (origin.get(key) ?? flagOf)(key);
  const result = schema.safeParse(merged);
  if (!result.success) {
    throw new ApolloError('BAD_CONFIG', result.error.issues.map((issue) => describe(issue, merged, where)).join('\n'));
  }
  const settings = result.data;
  if (settings.steps !== undefined && settings.tokens !== undefined) {
    throw new ApolloError(
      'BAD_CONFIG',
      `${where('steps')} and ${where('tokens')} both give the length of the run; give one.`,
    );
  }
  checkLabels(settings, where);
  if (settings.optimizer.name !== 'muon' && Object.keys(settings.muon).length > 0) {
    throw new ApolloError(
      'BAD_CONFIG',
      `${where('muon').replace(/^--/, '--set ')}: these are settings of the optimizer "muon", and the optimizer is "${settings.optimizer.name}". Add --optimizer muon, or remove them.`,
    );
  }
  for (const key of ['outerLearningRate', 'outerMomentum'] as const) {
    if (settings.syncEvery !== undefined || settings[key] === undefined) continue;
    throw new ApolloError(
      'BAD_CONFIG',
      `${where(key)}: this is a setting of outer steps. Add --sync-every, the steps between them, or remove this setting.`,
    );
  }
  checkUnused(flags, settings, trains);
  // A run keeps absolute paths.
  if (config === undefined || keptByRun) return settings;
  // Paths in a file are relative to the file, so that it can be used from anywhere.
  const fromFile = (key: string) => origin.get(key)?.(key).startsWith(`${config}:`) ?? false;
  return placePaths(settings, (key, path) => (fromFile(key) ? resolve(dirname(config), path) : path));
}

/** Settings with the paths of what they read and keep made by `place`; `out` is left to the command. */
export function placePaths<T extends Partial<Settings>>(settings: T, place: (key: string, path: string) => string): T {
  const { data, init, tokenizer, cache, tensorboard } = settings;
  const isKind = tokenizer === 'bpe' || tokenizer === 'wordpiece';
  return {
    ...settings,
    ...(data && { data: placeInputs(data, (path) => place('data', path)) }),
    ...(init && { init: place('init', init) }),
    ...(tokenizer && !isKind && { tokenizer: place('tokenizer', tokenizer) }),
    ...(cache && { cache: place('cache', cache) }),
    ...(typeof tensorboard === 'string' && { tensorboard: place('tensorboard', tensorboard) }),
  };
}

/** @throws ApolloError BAD_CONFIG for a method that is neither one of the package nor a variant. */
function checkLabels({ method, methods, variants }: Settings, where: (key: string) => string): void {
  const known = [...knownMethods(), ...Object.keys(variants)];
  for (const [key, names] of [
    ['method', [method]],
    ['methods', methods],
  ] as const) {
    for (const name of names) {
      if (known.includes(name)) continue;
      throw new ApolloError('BAD_CONFIG', `${where(key)}: there is no method ${unknownName(name, known)}`);
    }
  }
}

/** A later layer's value over an earlier one's: objects field by field, all else as it is. */
function combine(key: string, earlier: unknown, later: unknown): unknown {
  if (key === 'import') return [...new Set([earlier ?? [], later].flat())];
  if (!isObject(later)) return later;
  const base = key === 'model' && !isObject(earlier) ? { preset: earlier } : earlier;
  if (!isObject(base)) return later;
  const fields = Object.entries(later).map(([field, value]) => [field, combine('', base[field], value)]);
  return { ...base, ...Object.fromEntries(fields) };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Inputs with their paths made by `place`: a weight stays at the end of a text. */
function placeInputs(
  inputs: NonNullable<Settings['data']>,
  place: (path: string) => string,
): NonNullable<Settings['data']> {
  return inputs.map((input) => {
    if (typeof input === 'string') return place(input);
    const { path } = input;
    return { ...input, path: typeof path === 'string' ? place(path) : path.map(place) };
  });
}

function readConfigFile(path: string): Record<string, unknown> {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new ApolloError('BAD_CONFIG', `--config: ${path} cannot be read: ${inWords(error)}.`);
  }
  if (isUtf16(bytes)) throw new ApolloError('BAD_CONFIG', `${path} ${savedAsUtf16}.`);
  const text = bytes.toString('utf8');
  let json: unknown;
  try {
    json = JSON.parse(text.replace(/^\ufeff/, '')); // editors on Windows write a byte order mark
  } catch (error) {
    throw new ApolloError('BAD_CONFIG', `${path} is not JSON: ${(error as Error).message}`);
  }
  if (!isObject(json)) {
    throw new ApolloError(
      'BAD_CONFIG',
      `${path} must hold a JSON object of settings; got ${JSON.stringify(json)?.slice(0, 40)}`,
    );
  }
  const { $schema, ...values } = json;
  return values;
}

type Issue = z.core.$ZodIssue;

/** Settings that are objects with known fields. */
const nestedSettings = {
  small: schema.shape.small.unwrap(),
  optimizer: optimizerObject,
  muon: muonSettings,
  decay: schema.shape.decay.unwrap(),
} as const;
/** Names of settings whose fields `--set NAME.FIELD=VALUE` gives. */
export const nestedNames = Object.keys(nestedSettings);

/** Fields that have a flag of their own on the command line. */
const ownFlags: Readonly<Record<string, string>> = {
  '--decay.share': '--decay',
  '--decay.shape': '--decay-shape',
  '--optimizer.name': '--optimizer',
};

/** A setting as the user wrote it: `--set optimizer.beta1` for a field without a flag of its own. */
function asGiven(path: string): string {
  return ownFlags[path] ?? path.replace(/^--(?:method-options\.|(?=\w+\.))/, '--set ');
}

/** Why nothing takes the settings given for `name`, and what takes them. */
function unknownOwner(name: string, { variants }: Record<string, unknown>): string {
  const variant = isObject(variants) ? variants[name] : undefined;
  if (isObject(variant)) {
    const method = String(variant['method']);
    return (
      `this is a variant of "${method}", and its settings are in variants of the configuration file. Change them there, or ` +
      `give those of the method to all its variants: --set ${method}.KEY=VALUE.`
    );
  }
  return `there is no method, and no setting with fields, ${unknownName(name, ['model', ...nestedNames, ...knownMethods()])}`;
}

function describe(issue: Issue, values: Record<string, unknown>, where: (key: string) => string): string {
  const [first, ...rest] = issue.path;
  if (issue.code === 'unrecognized_keys') {
    const inner = nestedSettings[first as keyof typeof nestedSettings] ?? nestedSettings.optimizer;
    const known = first === undefined ? settingNames : Object.keys((first === 'data' ? inputObject : inner).shape);
    return issue.keys
      .map((key) => {
        const path = first === undefined ? where(key) : asGiven(`${where(String(first))}.${key}`);
        if (first === undefined && knownMethods().includes(key)) {
          return `${path}: there is no such setting; settings of a method belong in methodOptions: { "${key}": { … } }`;
        }
        const now = renamedText(key, known);
        if (now) return `${path}: ${now}`;
        const hint = nearest(key, known);
        return `${path}: there is no such setting${hint ? `; did you mean "${hint}"?` : `. Known: ${known.join(', ')}`}`;
      })
      .join('\n');
  }
  const base = where(String(first));
  if (issue.code === 'invalid_key' && first === 'methodOptions') {
    return `${asGiven(`${base}.${String(rest[0])}`)}: ${unknownOwner(String(rest[0]), values)}`;
  }
  const inside = rest.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  const path = asGiven(base + inside);
  const value = issue.path.reduce<unknown>(
    (at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key],
    values,
  );
  return `${path}: ${issueText(issue)}; got ${JSON.stringify(value)}`;
}
