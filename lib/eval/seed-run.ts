/** One seed's run of fine-tuning: its resources, and the steps and epochs as events. */
import type { Tokenizer } from '../data/index.js';
import type { Device } from '../engine/device.js';
import { createOptimizer, type Optimizer } from '../engine/optim/index.js';
import { ParameterStore } from '../engine/parameters.js';
import { ApolloError } from '../errors.js';
import { seedWords } from '../growth/index.js';
import { declareSpecs, initialValue, type LanguageModel, type ParameterSpec } from '../models/index.js';
import { CheckpointClock, checkpointWarning, lastCheckpointError, learningRate, warmupOf } from '../train/index.js';
import { bucketOf, buckets, epochBatches, featureBatch } from './batches.js';
import type { FineTuneEvent, SeedRecord } from './events.js';
import { saveFineTuned } from './fine-tuned.js';
import { inputsOf, NetworkPrograms, networkSpecs, unitsOf } from './network.js';
import type { FineTuneConfig } from './options.js';
import { predict } from './predict.js';
import { bestEpoch, type EpochRecord, type Identity, type SeedFolder, type Underway } from './seed-folder.js';
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
  /** Finite losses of the epoch under way. */
  #losses = { sum: 0, count: 0 };
  #savedStep = 0;
  #lastSaved: string | undefined;
  #totals = { tokens: 0, flopsExecuted: 0, trainMs: 0 };
  #nonFiniteSteps = 0;

  constructor(options: SeedRunOptions) {
    this.#options = options;
    const { config, device, model, task, source, train } = options;
    const { batch, accumulation, precision, weightDecay, maxNorm } = config;
    this.#store = new ParameterStore(device, { precision });
    this.#specs = networkSpecs(model, task.head, unitsOf(source.layerMap));
    const { layerMap } = source;
    const { head } = task;
    this.#programs = new NetworkPrograms({ device, store: this.#store, model, layerMap, head, batch, accumulation });
    this.#optimizer = createOptimizer('adamw', this.#store, { weightDecay, maxNorm });
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
    const clock = new CheckpointClock(config.checkpointMinutes, this.#totals.trainMs);
    yield { type: 'start', seed, steps: this.#steps, epochsDone: this.#epochs.length, stepsDone: this.#step };
    for (const message of warnings)
      yield { type: 'warning', seed, step: this.#step, code: 'DAMAGED_CHECKPOINT', message };
    try {
      for (let epoch = this.#epochs.length; epoch < config.epochs; epoch++) {
        const rowsPerStep = config.batch * config.accumulation;
        const batches = epochBatches(this.#options.train, { batch: rowsPerStep, seed, epoch });
        const done = this.#step - epoch * this.#stepsPerEpoch;
        for (const [index, rows] of batches.entries()) {
          if (index < done) continue; // before the checkpoint
          if (clock.due(this.#totals.trainMs)) {
            clock.wrote(this.#totals.trainMs);
            const saved = await this.#saveWithin().catch((error: unknown) => this.#notSaved(error));
            if (saved) yield saved;
          }
          const event = await this.#train(epoch, index, rows);
          yield event;
          this.#checkFinite(event);
        }
        yield await this.#endEpoch(epoch + 1);
        clock.wrote(this.#totals.trainMs);
      }
    } catch (error) {
      if (!signal?.aborted || (error as { code?: unknown }).code !== 'ABORT_ERR') throw error;
      const saved = await this.#saveWithin().catch((failed: unknown) => {
        throw lastCheckpointError(failed, this.#lastSaved);
      });
      if (saved) yield saved;
      throw error;
    }
    await place?.finish(identity, this.#epochs);
    yield { type: 'seed', seed, record: this.#record(this.#epochs) };
  }

  /** The newest checkpoint, or the beginning; what is to be said about damaged ones. */
  async #open(epochs: EpochRecord[]): Promise<readonly string[]> {
    const { place, source, model, seed } = this.#options;
    const loaded = await place?.load(this.#store, this.#specs, epochs);
    if (loaded) {
      const { path, step, underway } = loaded;
      this.#epochs = loaded.epochs;
      this.#step = step;
      this.#losses = { sum: underway?.lossSum ?? 0, count: underway?.lossCount ?? 0 };
      this.#savedStep = step;
      this.#lastSaved = path;
      this.#totals = { ...loaded.totals };
      this.#nonFiniteSteps = loaded.nonFiniteSteps;
      return loaded.warnings;
    }
    declareSpecs(this.#store, this.#specs);
    const body = new Set(model.body.parameters(unitsOf(source.layerMap)).map(({ name }) => name));
    for (const spec of this.#specs) {
      const value = body.has(spec.name) ? await source.read(spec.name) : undefined;
      await this.#store.write(spec.name, value ?? initialValue(spec, seed));
    }
    return [];
  }

  /** Keeps the weights within an epoch, unless they are kept already. */
  async #saveWithin(): Promise<FineTuneEvent | undefined> {
    const { place, seed } = this.#options;
    if (!place || this.#step === this.#savedStep) return undefined;
    const started = performance.now();
    const { sum: lossSum, count: lossCount } = this.#losses;
    const path = await this.#save(place, { step: this.#step, lossSum, lossCount });
    return { type: 'checkpoint', seed, step: this.#step, path, ms: performance.now() - started };
  }

  async #save(place: SeedFolder, underway?: Underway): Promise<string> {
    const { identity, source } = this.#options;
    const path = await place.save(this.#store, {
      identity,
      epochs: this.#epochs,
      underway,
      layerMap: source.layerMap,
      nonFiniteSteps: this.#nonFiniteSteps,
      totals: this.#totals,
    });
    this.#savedStep = this.#step;
    this.#lastSaved = path;
    return path;
  }

  #notSaved(error: unknown): FineTuneEvent {
    const message = checkpointWarning(error, this.#lastSaved);
    return { type: 'warning', seed: this.#options.seed, step: this.#step, code: 'CHECKPOINT_FAILED', message };
  }

  /** The micro-batches of a step that have labels, each with its share of the step's labelled rows. */
  #microBatches(rows: readonly number[]): { readonly features: readonly Feature[]; readonly share: number }[] {
    const { config, train } = this.#options;
    const parts: { features: readonly Feature[]; counted: number }[] = [];
    for (let start = 0; start < rows.length; start += config.batch) {
      const features = rows.slice(start, start + config.batch).map((row) => train[row] as Feature);
      parts.push({ features, counted: features.filter(({ targets }) => targets).length });
    }
    const total = parts.reduce((sum, { counted }) => sum + counted, 0);
    // A mean over no rows need not be a number, so such a part is run only where there is no other.
    if (total === 0) return parts.slice(0, 1).map(({ features }) => ({ features, share: 1 }));
    return parts
      .filter(({ counted }) => counted > 0)
      .map(({ features, counted }) => ({ features, share: counted / total }));
  }

  /** Forward and backward of a step: mean loss over labelled rows, parameters that have gradients now, FLOPs that ran. */
  async #accumulate(step: number, rows: readonly number[]) {
    const { config, task, padId, seed, signal } = this.#options;
    const { batch, maxLength } = config;
    let loss = 0;
    let flops = 0;
    let names: readonly string[] = [];
    for (const [micro, { features, share }] of this.#microBatches(rows).entries()) {
      const seq = bucketOf(features, buckets(maxLength));
      const training = await this.#programs.training(seq);
      const { program } = training;
      const rng = Int32Array.from([...seedWords(seed), step, micro]);
      const data = featureBatch(features, { batch, seq, padId }, task.head);
      const inputs = inputsOf(program, data, { rng, share: Float32Array.of(share) });
      const { outputs } = await program.run(inputs, signal ? { signal } : {});
      loss += share * (outputs['loss']?.[0] as number);
      names = training.names;
      flops += program.flops;
    }
    return { loss, names, flops };
  }

  async #train(epoch: number, place: number, rows: readonly number[]) {
    const { config, train, seed } = this.#options;
    const { learningRate: peak, warmup } = config;
    const step = epoch * this.#stepsPerEpoch + place;
    const lr = learningRate(step, {
      schedule: 'linear',
      totalSteps: this.#steps,
      warmupSteps: warmupOf(this.#steps, warmup),
      peak,
    });
    const started = performance.now();
    const { loss, names, flops } = await this.#accumulate(step, rows);
    let update = { gradNorm: Number.NaN, applied: false };
    if (Number.isFinite(loss)) update = await this.#optimizer.step(names, { lr });
    else await this.#store.zeroGradients();
    const ms = performance.now() - started;
    const tokens = rows.reduce((sum, row) => sum + (train[row] as Feature).tokens.length, 0);
    this.#totals.tokens += tokens;
    this.#totals.flopsExecuted += flops;
    this.#totals.trainMs += ms;
    this.#nonFiniteSteps = update.applied ? 0 : this.#nonFiniteSteps + 1;
    this.#step = step + 1;
    if (Number.isFinite(loss)) {
      this.#losses.sum += loss;
      this.#losses.count++;
    }
    const { gradNorm, applied } = update;
    return {
      type: 'step' as const,
      seed,
      epoch: epoch + 1,
      step: step + 1,
      steps: this.#steps,
      loss,
      gradNorm,
      lr,
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
      await this.#save(place);
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

  #checkFinite({ step, loss, gradNorm, lr }: { step: number; loss: number; gradNorm: number; lr: number }): void {
    const { nonFiniteLimit, learningRate } = this.#options.config;
    if (this.#nonFiniteSteps < nonFiniteLimit) return;
    throw new ApolloError(
      'NON_FINITE',
      `Step ${step} (lr ${lr}): loss ${loss}, gradient norm ${gradNorm}. That were ${this.#nonFiniteSteps} steps in a row, ` +
        `so the run stops. Try a lower learning rate than ${learningRate}.`,
    );
  }

  close(): void {
    this.#programs.dispose();
    this.#optimizer.dispose();
    this.#store.dispose();
  }
}
