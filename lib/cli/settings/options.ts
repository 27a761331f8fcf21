/** The options that commands share, by name, and how their text becomes settings. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { formatNames } from '../../data/index.js';
import { optimizerNames } from '../../engine/optim/index.js';
import { ApolloError } from '../../errors.js';
import { methodNames } from '../../methods/index.js';
import { familyKinds, presetNames } from '../../models/index.js';
import { decayShapeNames, scheduleNames } from '../../train/index.js';
import { outerDefaults } from '../../train/outer.js';
import { deviceName, nestedNames, type Settings, settingDefault } from './schema.js';

/** A whole number; "50M" and the like are allowed. */
export function whole(text: string): number {
  const value = amount(text);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('It must be a whole number.');
  return value;
}

/** A number; "50M" and the like are allowed. */
export function amount(text: string): number {
  const match = /^([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)([kMGB]?)$/i.exec(text.trim());
  const factor = { '': 1, k: 1e3, m: 1e6, g: 1e9, b: 1e9 }[match?.[2]?.toLowerCase() ?? ''];
  if (!match || factor === undefined) throw new InvalidArgumentError('It must be a number, such as 500, 2e-4 or 50M.');
  const value = Number(match[1]) * factor;
  // 16.1 * 1000 is 16100.000000000002.
  const nearest = Math.round(value);
  return Math.abs(value - nearest) <= 4 * Number.EPSILON * Math.abs(value) ? nearest : value;
}

/** "off" takes back what a preset, a file or the run that is resumed has set. */
const onOrOff = (text: string) => (text === 'off' ? false : text);
const portOrOff = (text: string) => (text === 'off' ? false : whole(text));

export function names(text: string): string[] {
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

/** Points of a run, each a share (`0.25`, `25%`) or a step (`3000`). */
export function point(text: string, previous: readonly number[] = []): number[] {
  const percent = /^(.+)%$/.exec(text.trim());
  const value = percent ? amount(percent[1] as string) / 100 : amount(text);
  if (!(value > 0) || (value > 1 && (percent || !Number.isInteger(value)))) {
    throw new InvalidArgumentError('It must be a share of the run, such as 25% or 0.25, or a step.');
  }
  return [...previous, value];
}

/** A column's number, or a name. */
function columnOf(text: string): string | number {
  return /^\d+$/.test(text) ? Number(text) : text;
}

const option = (flags: string, description: string, parse?: (text: string) => unknown) => {
  const made = new Option(flags, description);
  return parse ? made.argParser(parse) : made;
};

const options: Readonly<Partial<Record<keyof Settings, () => Option | readonly Option[]>>> = {
  model: () => option('--model <name>', `${familyKinds().join(', ')} or a preset: ${presetNames().join(', ')}`),
  init: () => option('--init <folder>', 'start from a trained model: a run, a checkpoint or a Hugging Face folder'),
  data: () => new Option('--data <paths...>', 'files, folders or patterns; PATH:WEIGHT for a weighted mixture'),
  format: () => option('--format <name>', `format of the files (auto: by their names): ${formatNames.join(', ')}`),
  field: () =>
    option(
      '--field <name|n>',
      'field (JSON lines) or column (Parquet, CSV, TSV; or its number) with the text',
      columnOf,
    ),
  header: () => [
    new Option('--header', 'CSV and TSV: the first row names the columns (default)'),
    new Option('--no-header', 'CSV and TSV: the first row is text'),
  ],
  quotes: () => [
    new Option('--quotes', 'CSV and TSV: fields may be in double quotes (CSV: default)'),
    new Option('--no-quotes', 'CSV and TSV: quotes are ordinary characters (TSV: default)'),
  ],
  decodeEntities: () => new Option('--decode-entities', "WikiExtractor's text: write &lt; &gt; &amp; as < > &"),
  tokenizer: () => option('--tokenizer <path|bpe|wordpiece>', 'a tokenizer file, or the kind to train on the data'),
  specialAsText: () =>
    new Option('--special-as-text', 'read special tokens that occur in the text, such as [MASK], as text'),
  vocabSize: () => option('--vocab-size <size>', 'vocabulary size of the model and of a trained tokenizer', whole),
  heldOut: () => option('--held-out <share>', 'share of the text held out for evaluation; 0: none', amount),
  cache: () => option('--cache <folder>', 'folder for prepared text'),
  import: () =>
    new Option('--import <modules...>', 'modules that add methods or model families, such as ./mine.mjs, loaded first'),
  method: () =>
    option('--method <name>', `training method: ${methodNames.join(', ')}; or a module that adds one: ./mine.mjs`),
  methods: () =>
    option('--methods <names>', 'methods or modules, separated by commas; the first is the reference', names),
  steps: () => option('--steps <n>', 'optimizer steps of a run', whole),
  tokens: () => option('--tokens <n>', 'tokens of a run, e.g. 50M; instead of --steps', amount),
  batch: () => option('--batch <n>', 'sequences per micro-batch', whole),
  seq: () => option('--seq <n>', "tokens per sequence (default: the model's positions)", whole),
  accumulation: () => option('--accumulation <n>', 'micro-batches per step', whole),
  syncEvery: () => option('--sync-every <n>', 'steps of each rank between two outer steps (DiLoCo)', whole),
  outerLearningRate: () =>
    option(
      '--outer-learning-rate <rate>',
      `learning rate of outer steps (default: ${outerDefaults.learningRate})`,
      amount,
    ),
  outerMomentum: () =>
    option('--outer-momentum <n>', `momentum of outer steps (default: ${outerDefaults.momentum})`, amount),
  optimizer: () => option('--optimizer <name>', `optimizer: ${optimizerNames.join(', ')}`),
  learningRate: () => option('--learning-rate <rate>', 'peak learning rate', amount),
  warmup: () => option('--warmup <n>', 'below 1: share of the steps; else steps', amount),
  schedule: () => option('--schedule <name>', `learning rate after the warm-up: ${scheduleNames.join(', ')}`),
  decay: () => [
    option('--decay <share>', 'share of the steps in which wsd decays the learning rate to 0 (default: 0.2)', amount),
    option('--decay-shape <name>', `shape of the decay: ${decayShapeNames.join(', ')} (default: linear)`),
  ],
  keepAt: () =>
    new Option(
      '--keep-at <points...>',
      'keep the checkpoints of these steps (25%, 0.25 or a step), for anneal',
    ).argParser(point),
  device: () =>
    option('--device <name>', 'cpu, cuda (the first NVIDIA GPU; with several ranks one GPU per rank) or cuda:N'),
  precision: () => option('--precision <kind>', 'auto, f32 or bf16 (matrix products only)'),
  exchangePrecision: () =>
    option('--exchange-precision <kind>', 'several ranks: send gradients as f32 or bf16 (default: f32)'),
  shardOptimizer: () => [
    new Option('--shard-optimizer', "several ranks: each keeps a share of the optimizer's state"),
    new Option('--no-shard-optimizer', 'each keeps the whole state (default)'),
  ],
  overlapExchange: () => [
    new Option('--overlap-exchange', 'several ranks: send gradients during the backward pass (default)'),
    new Option('--no-overlap-exchange', 'send gradients after the backward pass'),
  ],
  tf32: () => new Option('--tf32', 'let f32 products on a GPU round their inputs to TF32'),
  threads: () => option('--threads <n>', 'worker threads of the CPU; 0: all cores', whole),
  seed: () => option('--seed <n>', 'seed of weights, batches, depths and dropout', whole),
  seeds: () => option('--seeds <n>', 'number of seeds, counted up from --seed', whole),
  evaluateEvery: () =>
    option('--evaluate-every <steps>', 'steps between evaluations (default: 60 evaluations per run)', whole),
  evaluationBatches: () => option('--evaluation-batches <n>', 'held-out batches per evaluation', whole),
  checkpointEvery: () =>
    option(
      '--checkpoint-every <steps>',
      'steps between checkpoints, in addition to those by time (default: none)',
      whole,
    ),
  checkpointMinutes: () =>
    option('--checkpoint-minutes <n>', 'minutes of training between checkpoints; 0: none', amount),
  keepCheckpoints: () => option('--keep-checkpoints <n>', 'number of checkpoints to keep', whole),
  resume: () => new Option('--resume', 'resume from the newest complete checkpoint in --out'),
  out: () => option('--out <folder>', 'folder for checkpoints and results'),
  tensorboard: () =>
    option(
      '--tensorboard [folder]',
      "write TensorBoard's event files, in --out unless a folder is given; off: none",
      onOrOff,
    ),
  dashboard: () =>
    option(
      '--dashboard [port]',
      'serve a live page on this machine, at any free port unless one is given; off: none',
      portOrOff,
    ),
  dashboardKeep: () => new Option('--dashboard-keep', "keep the page after the run's end, until Ctrl-C"),
};

/** Settings of a model and a run, without those of its input and output. */
export const runOptions = [
  'import',
  'model',
  'init',
  'vocabSize',
  'steps',
  'tokens',
  'batch',
  'seq',
  'accumulation',
  'optimizer',
  'device',
  'precision',
  'tf32',
  'threads',
  'seed',
] as const;
/** How files of text are read, and all settings of the text. */
export const readOptions = ['format', 'field', 'header', 'quotes', 'decodeEntities'] as const;
export const dataOptions = ['data', ...readOptions, 'tokenizer', 'specialAsText', 'heldOut', 'cache'] as const;
export const trainingOptions = [
  ...dataOptions,
  'learningRate',
  'warmup',
  'schedule',
  'decay',
  'evaluateEvery',
  'evaluationBatches',
  'checkpointEvery',
  'checkpointMinutes',
  'keepCheckpoints',
  'keepAt',
  'resume',
  'out',
] as const;
/** How several ranks train together, and what they exchange. */
export const rankOptions = [
  'exchangePrecision',
  'shardOptimizer',
  'overlapExchange',
  'syncEvery',
  'outerLearningRate',
  'outerMomentum',
] as const;
/** How a run can be watched. */
export const watchOptions = ['tensorboard', 'dashboard', 'dashboardKeep'] as const;

/** Adds options to a command, each with the default of its setting in its description. */
export function addOptions(command: Command, keys: readonly (keyof Settings)[]): Command {
  for (const key of keys) {
    const make = options[key];
    for (const made of make ? [make()].flat() : []) {
      // In the description, not as commander's default: a preset or a file may set it, and only what is given overrides that.
      const value = settingDefault(key);
      if (value !== undefined && !made.description.includes('default')) made.description += ` (default: ${value})`;
      command.addOption(made);
    }
  }
  return command;
}

/** Adds options to a command, with those all commands with settings have: --preset, --config, --set, --json. */
export function addSettings(command: Command, keys: readonly (keyof Settings)[]): Command {
  return addOptions(command, keys)
    .option('--preset <name>', 'all settings of a run by name, see below')
    .option('--config <file>', 'a JSON file with these settings (camelCase keys); options override it')
    .option(
      '--set <key=value...>',
      'any setting by its path, e.g. model.dropout=0 apollo.sampler=edge optimizer.weightDecay=0.1 muon.momentum=0.9 small.steps=500',
    )
    .option('--json', 'machine-readable lines on stdout');
}

/** Converts commander's options to the command line's layer of settings. */
export function flagsOf(parsed: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { preset, config, set, json, decay, decayShape, ...given } = parsed;
  const flags: Record<string, unknown> = given;
  if (decay !== undefined || decayShape !== undefined) {
    flags['decay'] = {
      ...(decay !== undefined && { share: decay }),
      ...(decayShape !== undefined && { shape: decayShape }),
    };
  }
  for (const pair of (set as string[] | undefined) ?? []) assign(flags, pair);
  return flags;
}

/** `model.dropout=0`: into the setting's object. A method's name stands for methodOptions.NAME. */
function assign(flags: Record<string, unknown>, pair: string): void {
  const match = /^([A-Za-z][\w-]*)\.([A-Za-z]\w*)=(.*)$/s.exec(pair);
  if (!match) throw new ApolloError('BAD_CONFIG', `--set takes KEY.FIELD=VALUE, e.g. model.dropout=0; got "${pair}"`);
  const [, key, field, text] = match as unknown as [string, string, string, string];
  const value = parseValue(text);
  if (nestedNames.includes(key)) {
    const given = flags[key];
    flags[key] = { ...(typeof given === 'string' ? { name: given } : (given as object | undefined)), [field]: value };
  } else if (key === 'model') {
    const model = flags['model'];
    flags['model'] = {
      ...(typeof model === 'string' ? { preset: model } : (model as object | undefined)),
      [field]: value,
    };
  } else {
    const methods = (flags['methodOptions'] ?? {}) as Record<string, object>;
    flags['methodOptions'] = { ...methods, [key]: { ...methods[key], [field]: value } };
  }
}

function parseValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** A device's name. @throws InvalidArgumentError. */
function named(device: string): string {
  if (!deviceName.pattern.test(device)) throw new InvalidArgumentError(`It is no device: ${deviceName.expected}.`);
  return device;
}

/** Values of the options that `addDeviceOptions` adds. */
export interface DeviceFlags extends Pick<Settings, 'device' | 'precision' | 'tf32' | 'threads'> {
  readonly import?: readonly string[];
}

/** The options of a device, and modules with the family of a model, for commands that take no settings. */
export function addDeviceOptions(command: Command): Command {
  return addOptions(command, ['import'])
    .addOption(
      new Option('--device <name>', 'cpu, cuda (the first NVIDIA GPU) or cuda:N').argParser(named).default('cpu'),
    )
    .addOption(new Option('--precision <kind>', 'of matrix products').choices(['auto', 'f32', 'bf16']).default('auto'))
    .option('--tf32', 'let f32 products on a GPU round their inputs to TF32', false)
    .addOption(new Option('--threads <n>', 'worker threads of the CPU; 0: all cores').argParser(whole).default(0));
}
