/** One seed's run of fine-tuning: its resources, and the steps and epochs as events. */
import type { Tokenizer } from '../../data/index.js';
import type { Device } from '../../engine/device.js';
import { createOptimizer, type Optimizer } from '../../engine/optim/index.js';
import { ParameterStore } from '../../engine/parameters.js';
import { seedWords } from '../../growth/index.js';
import { declareSpecs, drawnValue, type LanguageModel, type ParameterSpec } from '../../models/index.js';
import {
  CheckpointClock,
  type CheckpointJob,
  CheckpointWriter,
  learningRate,
  type MicroBatch,
  NonFiniteSteps,
  type QueuedStep,
  StepStream,
  Trainer,
  warmupOf,
} from '../../train/index.js';
import { bucketOf, buckets, epochBatches, featureBatch } from './batches.js';
import type { FineTuneEvent, SeedRecord } from './events.js';
import { saveFineTuned } from './fine-tuned.js';
import { inputsOf, NetworkPrograms, networkSpecs, trainedLayersOf } from './network.js';
import type { FineTuneConfig } from './options.js';
import { predict } from './predict.js';
import { bestEpoch, type EpochRecord, type Identity, type SeedFolder } from './seed-folder.js';
import type { BodySource } from './source.js';
import type { Feature, FineTuneTask, Metrics, Outputs } from './task.js';

/** A split to measure on, ready for the network. */
export interface EncodedSplit {
  readonly name: string;
  readonly features: readonly (readonly Feature[])[];
  score(outputs: Outputs): Metrics;
}

export interface SeedRunOptions {
  readonly config: FineTuneConfig;
  readonly device: Device;
  readonly model: LanguageModel;
  readonly task: Pick<FineTuneTask, 'name' | 'title' | 'head' | 'metrics'>;
  readonly source: BodySource;
  readonly tokenizer: Tokenizer;
  readonly padId: number;
  readonly train: readonly Feature[];
  readonly evaluations: readonly EncodedSplit[];
  readonly seed: number;
  readonly identity: Identity;
  readonly place: SeedFolder | undefined;
  readonly signal: AbortSignal | undefined;
}

/** A micro-batch of a step: its rows, the length they are padded to, and its share of the step's labelled rows. */
interface Part {
  readonly features: readonly Feature[];
  readonly seq: number;
  readonly share: number;
}

/** A step that was queued. */
interface BegunStep extends QueuedStep {
  readonly epoch: number;
  readonly learningRate: number;
  readonly tokens: number;
}

export class SeedRun {
  readonly #options: SeedRunOptions;
  readonly #store: ParameterStore;
  readonly #specs: readonly ParameterSpec[];
  readonly #programs: NetworkPrograms;
  readonly #optimizer: Optimizer;
  readonly #stepsPerEpoch: number;
  #epochs: EpochRecord[] = [];
  /** Updates done. */
  #step = 0;
  /** Finite losses of the current epoch. */
  #losses = { sum: 0, count: 0 };
  #totals = { tokens: 0, flopsExecuted: 0, trainMs: 0 };
  readonly #trainer: Trainer;
  readonly #stream: StepStream<BegunStep>;
  readonly #checkpoints: CheckpointWriter;
  readonly #nonFinite: NonFiniteSteps;
  #clock: CheckpointClock;
  /** Rows of each step of an epoch. */
  #order: { readonly epoch: number; readonly steps: readonly (readonly number[])[] } | undefined;

  constructor(options: SeedRunOptions) {
    this.#options = options;
    const { config, device, model, task, source, train } = options;
    const { batch, accumulation, precision, weightDecay, maxNorm } = config;
    this.#store = new ParameterStore(device, { precision });
    this.#specs = networkSpecs(model, task.head, trainedLayersOf(source.layerMap));
    const { layerMap } = source;
    const { head } = task;
    this.#programs = new NetworkPrograms({ device, store: this.#store, model, layerMap, head, batch, accumulation });
    this.#optimizer = createOptimizer('adamw', this.#store, { weightDecay, maxNorm });
    this.#trainer = new Trainer(this.#store, this.#optimizer);
    this.#stream = new StepStream(
      (step) => this.#begin(step),
      (step) => this.#mayFollow(step),
    );
    this.#checkpoints = new CheckpointWriter(this.#store);
    this.#nonFinite = new NonFiniteSteps(config.nonFiniteLimit);
    this.#clock = new CheckpointClock(config.checkpointMinutes, 0);
    this.#stepsPerEpoch = Math.ceil(train.length / (batch * accumulation));
  }

  get #steps(): number {
    return this.#stepsPerEpoch * this.#options.config.epochs;
  }

  async *events(): AsyncGenerator<FineTuneEvent, void, void> {
    const { config, seed, place, identity, signal } = this.#options;
    const known = await place?.history(identity);
    if (known?.finished) {
      await place?.removeCheckpoints();
      yield { type: 'seed', seed, record: this.#record(known.epochs) };
      return;
    }
    const warnings = await this.#open(known?.epochs ?? []);
    yield { type: 'start', seed, steps: this.#steps, epochsDone: this.#epochs.length, stepsDone: this.#step };
    for (const message of warnings)
      yield { type: 'warning', seed, step: this.#step, code: 'DAMAGED_CHECKPOINT', message };
    try {
      for (let epoch = this.#epochs.length; epoch < config.epochs; epoch++) {
        while (this.#step < (epoch + 1) * this.#stepsPerEpoch) {
          if (!this.#stream.isAhead && this.#clock.due(this.#totals.trainMs)) yield* this.#saveWithin();
          const event = await this.#train();
          yield event;
          yield* this.#saved();
          this.#checkFinite(event.step, event.learningRate, event.loss, event.gradNorm);
        }
        yield await this.#endEpoch(epoch + 1);
        yield* this.#saved();
      }
    } catch (error) {
      if (!signal?.aborted || (error as { code?: unknown }).code !== 'ABORT_ERR') throw error;
      yield* this.#saveLast();
      throw error;
    }
    await this.#checkpoints.settled();
    yield* this.#saved();
    await place?.finish(identity, this.#epochs);
    yield { type: 'seed', seed, record: this.#record(this.#epochs) };
  }

  /** The newest checkpoint, or the initial state, with warnings about damaged checkpoints. */
  async #open(epochs: EpochRecord[]): Promise<readonly string[]> {
    const { place, source, model, seed } = this.#options;
    const loaded = await place?.load(this.#store, this.#specs, epochs);
    if (loaded) {
      const { path, step, underway } = loaded;
      this.#epochs = loaded.epochs;
      this.#step = step;
      this.#losses = { sum: underway?.lossSum ?? 0, count: underway?.lossCount ?? 0 };
      this.#checkpoints.resumed(path, String(step));
      this.#totals = { ...loaded.totals };
      this.#clock = new CheckpointClock(this.#options.config.checkpointMinutes, loaded.totals.trainMs);
      this.#nonFinite.count = loaded.nonFiniteSteps;
      return loaded.warnings;
    }
    declareSpecs(this.#store, this.#specs);
    const body = new Set(model.body.parameters(trainedLayersOf(source.layerMap)).map(({ name }) => name));
    for (const spec of this.#specs) {
      const value = body.has(spec.name) ? await source.read(spec.name) : source.pooler?.get(spec.name);
      await this.#store.write(spec.name, value ?? (await drawnValue(spec, seed)));
    }
    return [];
  }

  #checkpoint(place: SeedFolder): CheckpointJob {
    const { identity, source, device } = this.#options;
    const { sum: lossSum, count: lossCount } = this.#losses;
    const run = {
      device: device.info(),
      identity,
      epochs: this.#epochs,
      ...(this.#epochs.at(-1)?.step !== this.#step && { underway: { step: this.#step, lossSum, lossCount } }),
      layerMap: source.layerMap,
      nonFiniteSteps: this.#nonFinite.count,
      totals: { ...this.#totals },
    };
    return { step: this.#step, position: String(this.#step), write: (view) => place.save(view, run) };
  }

  /** Starts a checkpoint, which is written in parallel to training. */
  async *#saveWithin(): AsyncGenerator<FineTuneEvent, void, void> {
    const { place } = this.#options;
    this.#clock.wrote(this.#totals.trainMs);
    if (!place || this.#step === 0) return;
    await this.#checkpoints.settled();
    yield* this.#saved();
    if (!this.#checkpoints.isSaved(String(this.#step))) await this.#checkpoints.begin(this.#checkpoint(place));
  }

  /** The checkpoint of a run that is stopped. */
  async *#saveLast(): AsyncGenerator<FineTuneEvent, void, void> {
    const { place } = this.#options;
    await this.#checkpoints.settled();
    yield* this.#saved();
    if (!place || this.#step === 0) return;
    await this.#checkpoints.complete(this.#checkpoint(place));
    for (const event of this.#checkpoints.lastEvents()) yield { ...event, seed: this.#options.seed };
  }

  /** Warnings about checkpoints that were finished since the last call; those at the end of an epoch are not reported. */
  #saved(): FineTuneEvent[] {
    const { seed } = this.#options;
    return this.#checkpoints
      .events()
      .filter(({ type, step }) => type === 'warning' || !this.#isEpochEnd(step))
      .map((event) => ({ ...event, seed }));
  }

  #isEpochEnd(step: number): boolean {
    return step % this.#stepsPerEpoch === 0;
  }

  #rowsOf(step: number): readonly number[] {
    const { config, train, seed } = this.#options;
    const epoch = Math.floor(step / this.#stepsPerEpoch);
    if (this.#order?.epoch !== epoch) {
      this.#order = { epoch, steps: epochBatches(train, { batch: config.batch * config.accumulation, seed, epoch }) };
    }
    return this.#order.steps[step % this.#stepsPerEpoch]!;
  }

  /** The micro-batches of a step that have labels, each with its share of the step's labelled rows; if none has, the first with 0. */
  #partsOf(rows: readonly number[]): readonly Part[] {
    const { config, train } = this.#options;
    const all = buckets(config.maxLength);
    const parts: { features: readonly Feature[]; seq: number; counted: number }[] = [];
    for (let start = 0; start < rows.length; start += config.batch) {
      const features = rows.slice(start, start + config.batch).map((row) => train[row] as Feature);
      const counted = features.filter(({ targets }) => targets).length;
      parts.push({ features, seq: bucketOf(features, all), counted });
    }
    const total = parts.reduce((sum, { counted }) => sum + counted, 0);
    // Without any label nothing is run; the step has a program all the same, which says what an update would change.
    if (total === 0) return parts.slice(0, 1).map(({ features, seq }) => ({ features, seq, share: 0 }));
    return parts
      .filter(({ counted }) => counted > 0)
      .map(({ features, seq, counted }) => ({ features, seq, share: counted / total }));
  }

  async *#microBatches(step: number, parts: readonly Part[]): AsyncGenerator<MicroBatch, void, void> {
    const { config, task, padId, seed } = this.#options;
    for (const [micro, { features, seq, share }] of parts.entries()) {
      if (share === 0) continue;
      const { program } = await this.#programs.training(seq);
      const rng = Int32Array.from([...seedWords(seed), step, micro]);
      const data = featureBatch(features, { batch: config.batch, seq, padId }, task.head);
      yield { program, share, inputs: inputsOf(program, data, { rng, share: Float32Array.of(share) }) };
    }
  }

  /** Queues a step. */
  async #begin(step: number): Promise<BegunStep> {
    const { config, train, signal } = this.#options;
    const { learningRate: peak, warmup } = config;
    const rows = this.#rowsOf(step);
    const parts = this.#partsOf(rows);
    const trainings = await Promise.all(parts.map(({ seq }) => this.#programs.training(seq)));
    const rate = learningRate(step, {
      schedule: 'linear',
      totalSteps: this.#steps,
      warmupSteps: warmupOf(this.#steps, warmup),
      peak,
    });
    const { names } = trainings.at(-1)!;
    const queued = { microBatches: () => this.#microBatches(step, parts), names, update: { learningRate: rate } };
    const outcome = this.#trainer.queue(queued, signal);
    const tokens = rows.reduce((sum, row) => sum + (train[row] as Feature).tokens.length, 0);
    return { epoch: Math.floor(step / this.#stepsPerEpoch), learningRate: rate, tokens, outcome };
  }

  /** Whether `step` can be queued before the outcome of the one before it is known: nothing comes between the two. */
  #mayFollow(step: number): boolean {
    if (this.#options.signal?.aborted || this.#isEpochEnd(step) || this.#clock.due(this.#totals.trainMs)) return false;
    return this.#partsOf(this.#rowsOf(step)).every(({ seq }) => this.#programs.has(seq));
  }

  async #train() {
    const { epoch, learningRate: rate, tokens, result } = await this.#stream.next(this.#step);
    const { loss, gradNorm, applied, ms, flops } = result;
    this.#totals.tokens += tokens;
    this.#totals.flopsExecuted += flops;
    this.#totals.trainMs += ms;
    this.#nonFinite.add(result);
    this.#step++;
    if (Number.isFinite(loss)) {
      this.#losses.sum += loss;
      this.#losses.count++;
    }
    return {
      type: 'step' as const,
      seed: this.#options.seed,
      epoch: epoch + 1,
      step: this.#step,
      steps: this.#steps,
      loss,
      gradNorm,
      learningRate: rate,
      applied,
      tokens,
      ms,
    };
  }

  async #endEpoch(epoch: number): Promise<FineTuneEvent> {
    const { config, task, evaluations, padId, place, source, seed, signal, model, tokenizer } = this.#options;
    const started = performance.now();
    const { batch, maxLength } = config;
    const metrics: Record<string, Metrics> = {};
    for (const { name, features, score } of evaluations) {
      metrics[name] = score(
        await predict(this.#programs, features, { head: task.head, batch, maxLength, padId, signal }),
      );
    }
    const { trainMs } = this.#totals;
    const { sum, count } = this.#losses;
    const loss = count === 0 ? Number.NaN : sum / count;
    const record = { epoch, step: epoch * this.#stepsPerEpoch, loss, metrics, trainMs };
    this.#epochs = [...this.#epochs, record];
    const isBest = this.#best(this.#epochs) === record;
    if (place) {
      if (isBest) {
        await saveFineTuned(place.modelPath, this.#store, tokenizer, {
          task: task.name,
          head: task.head.kind,
          model: { ...model.config },
          layerMap: [...source.layerMap],
          maxLength,
          seed,
          epoch,
          metrics,
        });
      }
      this.#clock.wrote(trainMs);
      await this.#checkpoints.begin(this.#checkpoint(place));
    }
    this.#losses = { sum: 0, count: 0 };
    return { type: 'epoch', seed, isBest, ms: performance.now() - started, ...record };
  }

  #best(epochs: readonly EpochRecord[]): EpochRecord {
    const { task, evaluations } = this.#options;
    return bestEpoch(epochs, evaluations[0]!.name, task.metrics[0]);
  }

  #record(epochs: readonly EpochRecord[]): SeedRecord {
    const { seed, place } = this.#options;
    const last = epochs.at(-1) as EpochRecord;
    return { seed, epochs, best: this.#best(epochs), last, ...(place && { model: place.modelPath }) };
  }

  #checkFinite(step: number, rate: number, loss: number, gradNorm: number): void {
    const { learningRate: peak } = this.#options.config;
    const what = `Step ${step} (learning rate ${rate}): loss ${loss}, gradient norm ${gradNorm}.`;
    const error = this.#nonFinite.error(what, `Try a lower learning rate than ${peak}.`);
    if (error) throw error;
  }

  /** Stops running steps, waits for the checkpoint that is being written, and frees everything. */
  async close(): Promise<void> {
    await this.#trainer.stop();
    await this.#stream.drop();
    await this.#checkpoints.settled();
    this.#programs.dispose();
    this.#optimizer.dispose();
    this.#store.dispose();
  }
}
