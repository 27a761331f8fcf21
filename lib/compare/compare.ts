/** Comparing training methods at equal loss: each on the same batches, with what they save in FLOPs and time. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { alone, type Group } from '../dist/index.js';
import type { Device } from '../engine/device.js';
import { ApolloError } from '../errors.js';
import { type HeldFolder, holdFolder } from '../fs/hold-folder.js';
import * as is from '../is.js';
import {
  type AnyMethodName,
  chosenMethod,
  knownMethods,
  type MethodChoice,
  methodsWithSource,
} from '../methods/index.js';
import type { LanguageModel } from '../models/index.js';
import { type Results, readResults, writeResults } from '../report/results.js';
import { unknownName } from '../suggest.js';
import { checkSettings, type Objective, type TrainingCorpus } from '../train/index.js';
import { type ComparedMethod, Comparison, type SeedlessOptions } from './comparison.js';
import { type CompareEvent, commonResults, resultsFile, withResults } from './kept-results.js';
import { type SmallModel, smallRun, smallShape } from './small.js';

/** A method of the package, under a name of its own where one method is compared with itself. */
export interface ComparedChoice extends MethodChoice {
  /** Default: the method's. */
  readonly name?: string;
}

/** What a comparison takes as a method: its name, one with settings or under another name, or your own. */
export type MethodToCompare = AnyMethodName | ComparedChoice | ComparedMethod;

/** Length of the runs, batch, learning rate and all else of a run but its seed, as `train` takes it, and: */
export interface CompareOptions extends SeedlessOptions {
  /** All runs train on it. It stays open afterwards. */
  readonly device: Device;
  /** The finished model, the same for all methods. */
  readonly model: LanguageModel;
  /** Gives every run the same batches, and the held-out text on which they are compared. */
  readonly corpus: TrainingCorpus;
  /** The first is the reference. Your own method is an object with `name` and `create`. */
  readonly methods: readonly MethodToCompare[];
  /** Default: 42. */
  readonly seeds?: readonly number[];
  /** For checkpoints (`METHOD-SEED`) and results.json. */
  readonly folder: string;
  /** Whether runs that are in the folder are resumed; else it must hold none. Default: false. */
  readonly resume?: boolean;
  /** The smaller model that methods such as bert2BERT start from; it is trained first, once per seed. */
  readonly small?: SmallModel;
  /** Folder of a trained model that all runs start from. */
  readonly init?: string;
  /** The objective that all runs minimise and are compared by, instead of the model's own loss. */
  readonly objective?: Objective;
  /**
   * When it fires, every run that was started writes its checkpoint, and the comparison ends with `finished: false`.
   */
  readonly signal?: AbortSignal;
  /**
   * The ranks that train every run together (openGroup). Each calls compare() with the same options and the same folder, into
   * which the first one writes; all yield the same events but for times.
   */
  readonly group?: Group;
}

const takesCompare = is.takes('compare', {
  options: is.object('options { device, model, corpus, methods, steps, batch, seq, folder }', {
    device: is.device,
    model: is.languageModel,
    corpus: is.trainingCorpus,
    methods: is.list(is.comparedMethod, { least: 1 }),
    seeds: is.optional(is.list(is.integer, { least: 1 })),
    folder: is.path,
    resume: is.optional(is.oneOf(true, false)),
    small: is.optional(
      is.options({
        layers: is.optional(is.number),
        hidden: is.optional(is.number),
        heads: is.optional(is.number),
        ffn: is.optional(is.number),
        steps: is.optional(is.number),
        learningRate: is.optional(is.number),
      }),
    ),
    init: is.optional(is.path),
    objective: is.optional(is.objective),
    signal: is.optional(is.signal),
    group: is.optional(is.group),
  }),
});

/**
 * Trains the model with each method, for each seed, and reports what the methods save against the first. Runs of one seed
 * take turns from evaluation to evaluation on the same batches.
 * ```ts
 * for await (const event of compare({ device, model, corpus, methods: ['scratch', 'auto'], steps: 2000, batch: 16, seq: 64,
 *   evaluateEvery: 50, folder: 'runs/compare' })) {
 *   if (event.type === 'results' && event.analysis) console.log(textTable(tableRows(event.analysis)));
 * }
 * ```
 * @throws ApolloError BAD_CONFIG for wrong settings, naming them; what `train` throws.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function compare(options: CompareOptions): AsyncGenerator<CompareEvent, void, void> {
  takesCompare(options);
  return compareEvents(options, planned(options));
}

/** @throws ApolloError BAD_CONFIG for settings, methods or a smaller model that are wrong: before anything is trained. */
function planned(options: CompareOptions): Comparison {
  const {
    device,
    model,
    corpus,
    methods,
    seeds = [42],
    folder,
    resume = false,
    small,
    init,
    objective,
    signal,
    group,
    ...train
  } = options;
  if ('seed' in train) {
    throw new ApolloError('BAD_CONFIG', 'compare.seed: there is no such setting; give seeds, a list of them.');
  }
  const own = { corpus, device, folder, group, init, model, objective, resume, seeds, signal, train };
  checkSettings({ ...train, seed: seeds[0] as number }, model.config);
  const chosen = methods.map((method) => comparedMethod(method, small));
  const description = {
    structure: `${model.config.kind}, ${model.config.layers} layers x ${model.config.hidden}, vocabulary ${model.config.vocabSize}`,
    corpus: corpus.key,
    steps: train.steps,
    batch: `${train.batch} x ${train.seq} tokens`,
    'learning rate': String(train.learningRate ?? 'default'),
    precision: train.precision ?? 'f32',
  };
  return new Comparison({ ...own, methods: chosen, small: smallRun(model.config, train, small), description });
}

async function* compareEvents(
  options: CompareOptions,
  comparison: Comparison,
): AsyncGenerator<CompareEvent, void, void> {
  const { folder, group = alone } = options;
  const path = join(folder, resultsFile);
  let held: HeldFolder | undefined;
  try {
    const previous = await commonResults(group, path, async () => {
      held = await holdFolder(folder, 'compare()');
      return previousResults(options, path);
    });
    if (previous) comparison.continueFrom(previous);
    yield* withResults(comparison, async (results) => {
      if (group.rank === 0) await writeResults(path, results);
    });
  } finally {
    await held?.release();
  }
}

/** Earlier results in the folder of a comparison that is resumed. @throws ApolloError BAD_ARGUMENT where another one has left results. */
async function previousResults({ folder, resume = false }: CompareOptions, path: string): Promise<Results | undefined> {
  if (!existsSync(path)) return undefined;
  if (resume) return readResults(path);
  throw new ApolloError(
    'BAD_ARGUMENT',
    `${folder} holds another comparison. Give resume: true to continue it, or another folder.`,
  );
}

/** @throws ApolloError BAD_CONFIG for what is neither a method of the package nor a custom one. */
function comparedMethod(given: MethodToCompare, small: SmallModel | undefined): ComparedMethod {
  if (typeof given === 'object' && 'create' in given) return given;
  const {
    method,
    name = method,
    options = {},
  } = typeof given === 'string' ? ({ method: given } as ComparedChoice) : given;
  if (!knownMethods().includes(method)) {
    throw new ApolloError(
      'BAD_CONFIG',
      `methods: there is no training method ${unknownName(String(method), knownMethods())} One of your own is { name, create }.`,
    );
  }
  return {
    name,
    create: ({ totalSteps, seed, tokensPerStep, model, source }) => {
      const begins = methodsWithSource.includes(method) && { source, small: smallShape(model, small) };
      return chosenMethod({ method, options: { ...begins, ...options } }, { totalSteps, seed, tokensPerStep }, model);
    },
  };
}
