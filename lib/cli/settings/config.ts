/**
 * The settings of a command. They come from a preset, a JSON file and the command line, later ones winning; an error names
 * the key and where it came from.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { ApolloError } from '../../errors.js';
import { inWords } from '../../fs/error.js';
import { jsonObject } from '../../fs/json-object.js';
import { knownMethods } from '../../methods/index.js';
import { withCurrentNames } from '../../renamed.js';
import { unknownName } from '../../suggest.js';
import { issueLines } from './issue.js';
import { withModules } from './modules.js';
import { runPreset } from './presets.js';
import { defaultModel, flagOf, isObject, namedOptimizer, type Settings, schema } from './schema.js';
import { checkUnused } from './unused.js';

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
    throw new ApolloError(
      'BAD_CONFIG',
      result.error.issues.map((issue) => issueLines(issue, merged, where)).join('\n'),
    );
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
  const { $schema, ...values } = jsonObject(bytes, path, 'BAD_CONFIG');
  return values;
}
