/** From settings to what the rooms below take: model configuration, training options, method, seeds. Nothing is opened. */
import { smallShape } from '../../compare/index.js';
import { ApolloError, check } from '../../errors.js';
import { methodOfRun, methodsWithSource, type TrainingMethod } from '../../methods/index.js';
import {
  configurableFields,
  familyKinds,
  type ModelConfig,
  preset,
  presetNames,
  validateModelConfig,
} from '../../models/index.js';
import { renamedText } from '../../renamed.js';
import { nearest, unknownName } from '../../suggest.js';
import { endSteps, type TrainOptions, warmupOf } from '../../train/index.js';
import type { Settings } from './schema.js';

/** Default number of evaluations of a run. */
const defaultEvaluations = 60;

/**
 * The model of the settings. A family alone (`bert`, `gpt`) means its mini size; `init` the structure of the initial
 * model, which is passed then.
 * @throws ApolloError BAD_CONFIG naming the preset or field that is wrong.
 */
export function modelConfigOf(
  { model, vocabSize }: Pick<Settings, 'model' | 'vocabSize'>,
  init?: ModelConfig,
): ModelConfig {
  const { preset: name, ...changes } = typeof model === 'string' ? { preset: model } : model;
  const full = familyKinds().includes(name) ? `${name}-mini` : name;
  const own = name === 'init' ? init : undefined;
  const names = presetNames();
  if (!own && !names.includes(full)) {
    throw new ApolloError(
      'BAD_CONFIG',
      `model: there is no model ${unknownName(name, [...familyKinds(), ...names])}${name === 'init' ? ' "init" requires the setting init.' : ''}`,
    );
  }
  const known = configurableFields(own ?? preset(full));
  for (const key of Object.keys(changes)) {
    if (known.includes(key)) continue;
    const now = renamedText(key, known);
    if (now) throw new ApolloError('BAD_CONFIG', `model.${key}: ${now}.`);
    const hint = nearest(key, known);
    throw new ApolloError(
      'BAD_CONFIG',
      `model.${key}: there is no such field${hint ? `; did you mean "${hint}"?` : `. Known: ${known.join(', ')}.`}`,
    );
  }
  const all = { ...changes, ...(vocabSize !== undefined && { vocabSize }) };
  return own ? validateModelConfig({ ...own, ...all }) : preset(full, all);
}

/** "gpt-mini", with the changed fields: "gpt-mini, dropout 0". */
export function modelName({ model, init }: Pick<Settings, 'model' | 'init'>): string {
  const { preset: name, ...changes } = typeof model === 'string' ? { preset: model } : model;
  return [
    name === 'init' && init ? `that of ${init}` : name,
    ...Object.entries(changes).map(([key, value]) => `${key} ${String(value)}`),
  ].join(', ');
}

/** Optimizer steps of the run. @throws ApolloError BAD_CONFIG when neither steps nor tokens are given. */
export function totalStepsOf(settings: Settings, model: ModelConfig): number {
  if (settings.steps !== undefined) return settings.steps;
  if (settings.tokens !== undefined) return Math.max(1, Math.ceil(settings.tokens / tokensPerStepOf(settings, model)));
  throw new ApolloError('BAD_CONFIG', 'The length of the run is missing: give --steps or --tokens.');
}

export function tokensPerStepOf(settings: Settings, model: ModelConfig): number {
  return settings.batch * sequenceOf(settings, model) * settings.accumulation * (settings.ranks ?? 1);
}

/** Tokens of a sequence; default: the model's positions. */
export function sequenceOf({ seq }: Pick<Settings, 'seq'>, model: ModelConfig): number {
  return seq ?? model.maxPositions;
}

/** The options of lib/train for one seed. `precision` is settled already. */
export function trainOptionsOf(
  settings: Settings,
  model: ModelConfig,
  seed: number,
  precision: 'f32' | 'bf16',
): TrainOptions {
  const steps = totalStepsOf(settings, model);
  const { warmup } = settings;
  return {
    seed,
    steps,
    batch: settings.batch,
    seq: sequenceOf(settings, model),
    accumulation: settings.accumulation,
    precision,
    learningRate: settings.learningRate,
    schedule: settings.schedule,
    decay: settings.decay,
    keepAt: endSteps(steps, settings.keepAt, 'keepAt (--keep-at)'),
    warmupSteps: warmup < 1 ? warmupOf(steps, warmup) : Math.round(warmup),
    evaluateEvery: evaluateEveryOf(settings, steps),
    evaluationBatches: settings.evaluationBatches,
    checkpointEvery: settings.checkpointEvery,
    checkpointMinutes: settings.checkpointMinutes,
    keepCheckpoints: settings.keepCheckpoints,
    exchangePrecision: settings.exchangePrecision,
    shardOptimizer: settings.shardOptimizer,
    overlapExchange: settings.overlapExchange,
    syncEvery: settings.syncEvery,
    outerLearningRate: settings.outerLearningRate,
    outerMomentum: settings.outerMomentum,
    ...optimizerOptionsOf(settings),
  };
}

/** The optimizer settings as options of lib/train; settings that are not given are left out. */
function optimizerOptionsOf({
  optimizer: { name, ...adamw },
  muon,
}: Pick<Settings, 'optimizer' | 'muon'>): Pick<TrainOptions, 'optimizer' | 'muon'> {
  const defined = (values: object) =>
    Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
  return { ...defined(adamw), ...(name !== 'adamw' && { optimizer: name, muon: defined(muon) }) };
}

/** Steps between evaluations; 0, none, where no text is held out. */
function evaluateEveryOf({ evaluateEvery, heldOut }: Settings, steps: number): number {
  if (heldOut === 0) return 0;
  return evaluateEvery ?? Math.max(1, Math.ceil(steps / defaultEvaluations));
}

/** The method behind `label`, which is its name or that of a variant. */
export function methodNameOf({ variants }: Pick<Settings, 'variants'>, label: string): string {
  return variants[label]?.method ?? label;
}

/** The settings of the method called `label`: those of `methodOptions`, and of the variant over them. */
export function methodOptionsOf({ variants, methodOptions }: Settings, label: string): Record<string, unknown> {
  const { method = label, ...variant } = variants[label] ?? {};
  return { ...(methodOptions as Record<string, Record<string, unknown>>)[method], ...variant };
}

/**
 * The method called `label` with its options from the settings. `source` is the folder in which the smaller model is or
 * will be trained, for methods that start from one and whose settings do not name another.
 */
export function methodOf(
  settings: Settings,
  label: string,
  model: ModelConfig,
  seed: number,
  source?: string,
): TrainingMethod {
  const name = methodNameOf(settings, label);
  const options = methodOptionsOf(settings, label);
  const small = methodsWithSource.includes(name) && { small: smallShapeOf(settings, model), ...(source && { source }) };
  const run = { totalSteps: totalStepsOf(settings, model), seed, tokensPerStep: tokensPerStepOf(settings, model) };
  return methodOfRun(name, { ...small, ...options }, run, model);
}

/** Shape of the smaller model of the settings. */
export const smallShapeOf = ({ small }: Pick<Settings, 'small'>, model: ModelConfig) => smallShape(model, small);

/** The seeds of a comparison. */
export function seedsOf({ seeds, seed }: Pick<Settings, 'seeds' | 'seed'>): number[] {
  if (Array.isArray(seeds)) {
    check(new Set(seeds).size === seeds.length, `seeds: each seed once; got ${seeds.join(', ')}`);
    return seeds;
  }
  return Array.from({ length: seeds }, (_, index) => seed + index);
}
