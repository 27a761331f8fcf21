/**
 * Fine-tuning as an async iterator of events: AdamW with linear warm-up and decay, an evaluation after each epoch, one
 * run for each seed. A seed's bits are a function of settings, model and data; one that was cut resumes from
 * its last checkpoint. The loop knows no task by name.
 */

import { join } from 'node:path';
import { checkVocabulary, type Tokenizer } from '../../data/index.js';
import type { Device } from '../../engine/device.js';
import { ApolloError } from '../../errors.js';
import * as is from '../../is.js';
import { createModel, type LanguageModel, type ModelConfig } from '../../models/index.js';
import { sequenceEncoder } from './encode.js';
import type { FineTuneEvent } from './events.js';
import { digestOf, encodeAll } from './features.js';
import { type FineTuneConfig, type FineTuneOptions, fineTuneConfig } from './options.js';
import { type Identity, SeedFolder } from './seed-folder.js';
import { SeedRun } from './seed-run.js';
import type { BodySource } from './source.js';
import type { Feature, FineTuneTask, Outputs, TaskData } from './task.js';

/** What {@link fineTune} works with. */
export interface FineTuneDependencies<Example> {
  /** The device to train on. It stays open afterwards. */
  readonly device: Device;
  /** The task: its head, its features and its scores. */
  readonly task: FineTuneTask<Example>;
  /** Labelled examples to train on and to measure on after each epoch, from `task.read`; neither may be empty. */
  readonly data: Pick<TaskData<Example>, 'train' | 'evaluations'>;
  /** The weights that the body starts with: `trainedSource` or `untrainedSource`. */
  readonly source: BodySource;
  /** The tokenizer of the pre-trained model; at most as many ids as the model's vocabulary has, or BAD_CONFIG. */
  readonly tokenizer: Tokenizer;
  /** Folder for seed-N folders. Without it nothing is kept, and the best model neither. */
  readonly folder?: string | undefined;
  /** Ends the run within the current step, with a checkpoint where a folder is given. */
  readonly signal?: AbortSignal | undefined;
}

const takesCheckFineTuning = is.takes('checkFineTuning', {
  options: is.record,
  parts: is.object('{ task, tokenizer, config }', { task: is.task, tokenizer: is.tokenizer, config: is.modelConfig }),
});

/**
 * Reports errors of a fine-tuning that do not depend on its data.
 * @throws ApolloError BAD_CONFIG for wrong settings, or a task that the model cannot do; BAD_TOKENIZER.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function checkFineTuning(
  options: FineTuneOptions,
  parts: { readonly task: FineTuneTask; readonly tokenizer: Tokenizer; readonly config: ModelConfig },
): void {
  takesCheckFineTuning(options, parts);
  const { task, tokenizer, config: model } = parts;
  const config = fineTuneConfig(options);
  checkVocabulary(tokenizer, model.vocabSize);
  task.check?.(sequenceEncoder(tokenizer, model, config.maxLength));
}

const takesFineTune = is.takes('fineTune', {
  options: is.record,
  deps: is.options({
    device: is.device,
    task: is.task,
    data: is.object('{ train, evaluations }', { train: is.array, evaluations: is.list(is.split) }),
    source: is.bodySource,
    tokenizer: is.tokenizer,
    folder: is.optional(is.path),
    signal: is.optional(is.signal),
  }),
});

/**
 * Fine-tunes a model on a task, seed by seed.
 * @param options Settings of the runs: seeds, epochs, batch, learning rate, checkpoints.
 * @param deps Device, task and its data, the model to start from, its tokenizer, and the folder of the results.
 * @example
 * ```ts
 * const source = await trainedSource(await openModelFolder('runs/train'));
 * const data = await task.read('glue', ['train', 'evaluations']);
 * for await (const event of fineTune({ maxLength: 128, seeds: [1, 2] }, { device, task, data, source, tokenizer })) {
 *   if (event.type === 'epoch') console.log(event.seed, event.epoch, event.metrics);
 * }
 * ```
 * @throws ApolloError BAD_CONFIG for wrong settings or a folder of other settings; BAD_CORPUS without examples to train on, or in a
 * split to measure on, or where none of them has a label; BAD_TOKENIZER, BAD_CHECKPOINT, NON_FINITE, and what the engine throws.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function fineTune<Example>(
  options: FineTuneOptions,
  deps: FineTuneDependencies<Example>,
): AsyncGenerator<FineTuneEvent, void, void> {
  takesFineTune(options, deps);
  return fineTuneEvents(options, deps);
}

async function* fineTuneEvents<Example>(
  options: FineTuneOptions,
  deps: FineTuneDependencies<Example>,
): AsyncGenerator<FineTuneEvent, void, void> {
  const config = fineTuneConfig(options);
  const { task, data, source, tokenizer, signal } = deps;
  const bad = (what: string) => new ApolloError('BAD_CORPUS', `${task.title}: ${what}.`);
  if (data.train.length === 0) throw bad('there are no examples to train on');
  if (data.evaluations.length === 0) throw bad('there are no examples to measure on');
  for (const { name, examples } of data.evaluations) {
    if (examples.length === 0) throw bad(`there are no examples to measure on in "${name}"`);
  }
  const model = modelFor(source.config, config);
  checkVocabulary(tokenizer, model.config.vocabSize);
  const encoder = sequenceEncoder(tokenizer, model.config, config.maxLength);
  try {
    const train = (await encodeAll(task, data.train, encoder, signal)).flat();
    if (!hasLabel(train)) throw bad('no example to train on has a label');
    const evaluations = [];
    for (const { name, examples } of data.evaluations) {
      const features = await encodeAll(task, examples, encoder, signal);
      if (!hasLabel(features.flat())) throw bad(`no example to measure on in "${name}" has a label`);
      evaluations.push({
        name,
        features,
        score: (outputs: Outputs) => task.score(examples, outputs),
      });
    }
    const digest = digestOf([train, ...evaluations.map(({ features }) => features.flat())]);
    const { device, folder } = deps;
    for (const seed of config.seeds) {
      const identity = identityOf(config, deps, digest, seed);
      const place =
        folder === undefined ? undefined : new SeedFolder(join(folder, `seed-${seed}`), config.keepCheckpoints);
      const run = new SeedRun({
        config,
        device,
        model,
        task,
        source,
        tokenizer,
        padId: encoder.padId,
        train,
        evaluations,
        seed,
        identity,
        place,
        signal,
      });
      try {
        yield* run.events();
      } finally {
        await run.close();
      }
    }
    yield { type: 'done', aborted: false };
  } catch (error) {
    if (!signal?.aborted || (error as { code?: unknown }).code !== 'ABORT_ERR') throw error;
    yield { type: 'done', aborted: true };
  }
}

const hasLabel = (features: readonly Feature[]): boolean => features.some(({ targets }) => targets);

/** The model with the dropout of fine-tuning. */
function modelFor(source: ModelConfig, { dropout }: FineTuneConfig): LanguageModel {
  const { embeddingDropout: _, ...rest } = source; // as `dropout` from here on
  return createModel({ ...rest, dropout, attentionDropout: dropout });
}

/** Everything that a seed's bits depend on. */
function identityOf<Example>(
  config: FineTuneConfig,
  deps: FineTuneDependencies<Example>,
  data: string,
  seed: number,
): Identity {
  const { seeds, nonFiniteLimit, accumulation, checkpointMinutes, keepCheckpoints, ...rest } = config;
  const { task, source, tokenizer } = deps;
  return {
    ...rest,
    ...(accumulation > 1 && { accumulation }),
    seed,
    task: task.name,
    head: task.head.kind,
    model: source.config,
    layerMap: source.layerMap,
    weights: source.key,
    tokenizer: tokenizer.digest,
    data,
  };
}
