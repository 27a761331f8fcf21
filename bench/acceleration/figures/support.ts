/** Shared code of the figures that train: the bench they open, the record of a seed, a training run, formatted numbers. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describeDevice } from '../../../lib/cli/device.js';
import { processIo } from '../../../lib/cli/io.js';
import { openSession, type Session } from '../../../lib/cli/session.js';
import { loadSettings } from '../../../lib/cli/settings/config.js';
import { seedsOf, trainOptionsOf } from '../../../lib/cli/settings/resolve.js';
import type { Settings, SettingsInput } from '../../../lib/cli/settings/schema.js';
import { Progress } from '../../../lib/cli/watch/progress.js';
import { ApolloError } from '../../../lib/errors.js';
import type { LayerMap } from '../../../lib/growth/index.js';
import { scratch, type TrainingMethod } from '../../../lib/methods/index.js';
import { createModel, type LanguageModel, type ModelConfig } from '../../../lib/models/index.js';
import { type Spread, spread } from '../../../lib/report/aggregate.js';
import { formatSpread } from '../../../lib/report/table.js';
import { type TrainOptions, train } from '../../../lib/train/index.js';
import type { FigureContext, ScaleName } from '../figure.js';
import { distance, type PaperModel, type recipe } from '../scales.js';
import { writeWhole } from './publish.js';

/** Where a figure takes its recipe from: scales.ts, or a shorter one in tests. */
export type RecipeOf = typeof recipe;

export interface Bench extends Session {
  readonly settings: Settings;
  readonly seeds: readonly number[];
  readonly progress: Progress;
}

/** Device, corpus and model of the scale's recipe with `changes`; the caller closes it. */
export async function openBench(
  context: FigureContext,
  recipeOf: RecipeOf,
  model: PaperModel,
  changes: SettingsInput = {},
): Promise<Bench> {
  const settings = loadSettings({
    flags: { seeds: 3, ...recipeOf(context.scale, model), ...changes, ...context.run, data: [...context.data] },
  });
  const stderr = { write: (text: string) => context.say(text.trimEnd()) };
  const progress = new Progress({ ...processIo(), stderr });
  const session = await openSession(settings, progress, context.signal);
  return { ...session, settings, progress, seeds: seedsOf(settings) };
}

/** Steps of a whole run of the recipe, and the options of a run of `steps` steps with warm-up and decay of its own. */
export function runOptions(bench: Bench, seed: number, steps?: number): TrainOptions {
  const { settings, model, precision } = bench;
  const { tokens: _, ...rest } = settings;
  const changed = steps === undefined ? settings : { ...rest, steps };
  return { ...trainOptionsOf(changed, model.config, seed, precision), evaluateEvery: 0 };
}

/** The model with half of the layers. */
export function halfModel({ config }: LanguageModel): LanguageModel {
  return createModel({ ...config, layers: Math.floor(config.layers / 2) });
}

/**
 * Length of the half-depth model's training in lengths of the recipe's run: the paper's 10 of 40 epochs. The nano recipe is
 * too short for that: BERT begins on a plateau of some hundred steps, where its layers do nothing yet that an expansion
 * could spoil, so that its figures take several times as many.
 */
export const halfShare: Readonly<Record<ScaleName, number>> = { nano: 4, small: 0.25, paper: 0.25 };

/** The half-depth model's training, for `recipeParagraph`. */
export function halfText(scale: ScaleName, layers: number, steps: number): string {
  const share = halfShare[scale];
  return (
    `the trained model has ${layers} layers and ${steps} steps, with warm-up and cosine of their own, ` +
    `${share} times the length of the recipe (the paper's: 10 of its 40 epochs).`
  );
}

/** The parameter of a shallower model that becomes `name` when layer i becomes a copy of layer `map[i]`. */
export function sourceName(name: string, map: LayerMap): string {
  return name.replace(/^layer\.(\d+)\./, (_, layer: string) => `layer.${map[Number(layer)]}.`);
}

/**
 * Plain training of all layers that starts from copies of the layers of a model trained in `source`, in the order of
 * `map`; without a source with random weights. The optimizer is fresh.
 */
export function continuation(
  options: { readonly layers: number; readonly totalSteps: number; readonly seed: number },
  from?: { readonly source: string; readonly map: LayerMap },
): TrainingMethod {
  const plain = scratch(options);
  if (!from) return plain;
  return {
    ...plain,
    name: 'continuation',
    settings: { ...plain.settings, map: [...from.map] },
    initial: {
      source: from.source,
      check: () => {},
      value: (spec, source) => source.read(sourceName(spec.name, from.map)),
    },
  };
}

/** Optimizer state at switches of the Apollo runs of a figure: what docs/methods/apollo.md advises for the length. */
export function momentsFor(steps: number): 'copy' | 'reset' {
  return steps < 20_000 ? 'reset' : 'copy';
}

/**
 * Record of a figure's work for one seed, in its own file: each piece is computed once, regardless of the number of
 * calls that takes. A file of other settings is refused.
 */
export class SeedRecord {
  readonly #path: string;
  readonly #identity: string;
  readonly #values: Record<string, unknown>;
  /** For checkpoints and the like; gone when the seed is done. */
  readonly folder: string;

  private constructor(
    readonly seed: number,
    out: string,
    identity: string,
    values: Record<string, unknown>,
  ) {
    this.folder = join(out, 'seeds', String(seed));
    this.#path = `${this.folder}.json`;
    this.#identity = identity;
    this.#values = values;
  }

  /** @throws ApolloError BAD_CONFIG when the folder holds work of other settings. */
  static async open(out: string, seed: number, settings: unknown): Promise<SeedRecord> {
    const identity = JSON.stringify(settings);
    const path = join(out, 'seeds', `${seed}.json`);
    if (!existsSync(path)) {
      await mkdir(join(out, 'seeds'), { recursive: true });
      return new SeedRecord(seed, out, identity, {});
    }
    const kept = JSON.parse(await readFile(path, 'utf8')) as { settings: unknown; values: Record<string, unknown> };
    if (JSON.stringify(kept.settings) !== identity) {
      throw new ApolloError(
        'BAD_CONFIG',
        `${path} belongs to other settings (${JSON.stringify(kept.settings)}). Give another folder, or remove this one.`,
      );
    }
    return new SeedRecord(seed, out, identity, kept.values);
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#values, name);
  }

  get<Value>(name: string): Value | undefined {
    return this.#values[name] as Value | undefined;
  }

  async set(name: string, value: unknown): Promise<void> {
    this.#values[name] = value;
    const text = JSON.stringify({ settings: JSON.parse(this.#identity), values: this.#values }, null, 1);
    await writeWhole(this.#path, `${text}\n`);
  }

  /** The piece `name`, made now unless it is there. It must be plain data. */
  async once<Value>(name: string, make: () => Promise<Value>): Promise<Value> {
    if (!this.has(name)) await this.set(name, await make());
    return this.get<Value>(name) as Value;
  }

  async removeFolder(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Results of a run. */
export interface Trained {
  readonly steps: number;
  readonly tokens: number;
  readonly flopsModel: number;
  readonly trainMs: number;
  /** Held-out loss at full depth by step, at those evaluated. */
  readonly losses: readonly (readonly [number, number])[];
}

export interface Training {
  readonly model: LanguageModel;
  readonly method: TrainingMethod;
  readonly options: TrainOptions;
  /** Name of the record and of the checkpoint folder. */
  readonly name: string;
}

/** Where the checkpoints of a run of that name are. */
export function checkpointsOf(record: SeedRecord, name: string): string {
  return join(record.folder, name);
}

/**
 * Runs or resumes a training whose checkpoints stay in the record's folder.
 * @throws ApolloError ABORT_ERR when the signal ends it; its checkpoint is written then.
 */
export async function trained(
  bench: Bench,
  { signal }: Pick<FigureContext, 'signal'>,
  record: SeedRecord,
  { model, method, options, name }: Training,
): Promise<Trained> {
  const curve = `${name}: losses`;
  const { device, batches: corpus, progress } = bench;
  const checkpointDir = checkpointsOf(record, name);
  const deps = { device, model, method, corpus, signal, checkpointDir, resume: 'auto' as const };
  for await (const event of train(options, deps)) {
    if (event.type === 'evaluation') {
      const earlier = (record.get<[number, number][]>(curve) ?? []).filter(([step]) => step < event.step);
      await record.set(curve, [...earlier, [event.step, event.lossFull]]);
    } else if (event.type === 'step') {
      const { step, loss, tokensPerSecond } = event;
      progress.update({
        label: `seed ${record.seed}, ${name}: step ${step}`,
        done: step / options.steps,
        loss,
        tokensPerSecond,
      });
    } else if (event.type === 'done') {
      if (event.aborted)
        throw new ApolloError('ABORT_ERR', 'The training was stopped; give the same command again to resume.');
      const { step: steps, tokens, flopsModel, trainMs } = event;
      return { steps, tokens, flopsModel, trainMs, losses: record.get<[number, number][]>(curve) ?? [] };
    }
  }
  throw new ApolloError('INTERNAL', 'A training ended without its last event.');
}

/**
 * Makes the piece of each seed, in turn; those of seeds that are finished, and whether all are. Stopped by the signal it
 * returns what there is.
 */
export async function eachSeed<Value>(
  bench: Bench,
  { out, signal, say }: Pick<FigureContext, 'out' | 'signal' | 'say'>,
  settings: Readonly<Record<string, unknown>>,
  make: (record: SeedRecord) => Promise<Value>,
): Promise<{ seeds: number[]; values: Value[]; complete: boolean }> {
  const seeds: number[] = [];
  const values: Value[] = [];
  for (const seed of bench.seeds) {
    const record = await SeedRecord.open(out, seed, {
      ...settings,
      precision: bench.precision,
      corpus: bench.corpus.key,
    });
    if (record.has('finished')) say(`seed ${seed}: finished before`);
    else if (signal.aborted) continue;
    try {
      values.push(await record.once('finished', () => make(record)));
      seeds.push(seed);
      await record.removeFolder();
    } catch (error) {
      if (signal.aborted && (error as { code?: unknown }).code === 'ABORT_ERR') continue;
      throw error;
    }
  }
  return { seeds, values, complete: seeds.length === bench.seeds.length };
}

/** Runs `work` with the bench open; false when the signal ends the opening. */
export async function withBench(
  open: () => Promise<Bench>,
  signal: AbortSignal,
  work: (bench: Bench) => Promise<boolean>,
): Promise<boolean> {
  let bench: Bench;
  try {
    bench = await open();
  } catch (error) {
    if (signal.aborted && (error as { code?: unknown }).code === 'ABORT_ERR') return false;
    throw error;
  }
  try {
    return await work(bench);
  } finally {
    bench.progress.clear();
    await bench.close();
  }
}

/** The machine and the recipe, for result.json. */
export function provenance(bench: Bench, seeds: readonly number[]) {
  const { device, description, settings } = bench;
  return {
    machine: device.info().name,
    ...describeDevice(device),
    seeds,
    recipe: description,
    learningRate: settings.learningRate,
  };
}

/** The paragraph on how a figure was made and how far that is from the paper. */
export function recipeParagraph(
  bench: Bench,
  seeds: readonly number[],
  run: { readonly model: PaperModel; readonly config: ModelConfig; readonly tokens: number; readonly text: string },
): string {
  const { recipe: of, processor, engine } = provenance(bench, seeds);
  const asked = bench.seeds.length;
  return (
    `Recipe: ${run.text} Model: ${of['structure']}; ${of['batch']} a step, learning rate ${of['learning rate']}, ` +
    `dropout ${of['dropout']}, ${of['precision']}; ${of['data']}. ${distance(run.config, run.tokens, run.model)}. ` +
    `Seeds ${seeds.join(', ')}${seeds.length < asked ? ` (of ${asked}: not all finished)` : ''}; figures are mean ± standard ` +
    `deviation over them. Machine: ${processor}; ${engine}.`
  );
}

/** Spread over seeds of what `pick` takes of each. */
export function over<Value>(values: readonly Value[], pick: (value: Value) => number): Spread {
  return spread(values.map(pick));
}

export const fixed = (digits: number) => (value: number) => value.toFixed(digits);

/** "1.23 ± 0.04" */
export function meanSd<Value>(values: readonly Value[], pick: (value: Value) => number, digits = 3): string {
  return formatSpread(over(values, pick), fixed(digits));
}

/** "3 of 3 seeds" */
export function seedsWith<Value>(values: readonly Value[], holds: (value: Value) => boolean): string {
  return `${values.filter(holds).length} of ${values.length} seeds`;
}
