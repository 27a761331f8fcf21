/**
 * A comparison: for each seed the methods run on the same batches, taking turns from evaluation to evaluation, each with
 * its own weights and checkpoints. Knows nothing of terminals; yields what happens.
 */
import { join } from 'node:path';
import { ApolloError } from '../errors.js';
import { createMethod, type TrainingMethod } from '../methods/index.js';
import { createModel, type LanguageModel, type ModelConfig } from '../models/index.js';
import type { Results, RunRecord } from '../report/results.js';
import { type TrainEvent, type TrainOptions, train } from '../train/index.js';
import type { Settings } from './config.js';
import { interleave } from './interleave.js';
import { RunRecorder } from './recorder.js';
import {
  methodOf,
  seedsOf,
  sequenceOf,
  smallShapeOf,
  tokensPerStepOf,
  totalStepsOf,
  trainOptionsOf,
} from './resolve.js';
import type { Session } from './session.js';
import { plannedFlops } from './share.js';

export interface ComparisonEvent {
  readonly method: string;
  readonly seed: number;
  /** The run's own folder. */
  readonly folder: string;
  readonly event: TrainEvent;
  /** Share of the whole comparison that is done, in model FLOPs. */
  readonly done: number;
}

export interface ComparisonOptions {
  readonly settings: Settings;
  readonly session: Session;
  /** Folder of the comparison; checkpoints go to `METHOD-SEED` in it. */
  readonly folder: string;
  readonly resume: boolean;
  /** Records of the runs so far, when resumed. */
  readonly previous: readonly RunRecord[];
  readonly signal: AbortSignal;
}

interface PlannedRun {
  /** The method's name or that of a variant. */
  readonly label: string;
  readonly method: TrainingMethod;
  readonly model: LanguageModel;
  readonly options: TrainOptions;
  readonly seed: number;
  readonly folder: string;
  readonly flops: number;
}

interface ComparedRun extends PlannedRun {
  readonly recorder: RunRecorder;
}

/** What the runs of smaller models are called, in events and folders. */
const smallLabel = 'small';

/** The smaller model of a comparison, and the settings of its run. */
export function smallRun(settings: Settings, finished: ModelConfig): { model: LanguageModel; settings: Settings } {
  const { layers, ...widths } = smallShapeOf(settings, finished);
  const model = createModel({ ...finished, ...widths, layers });
  const { small, lr } = settings;
  const steps = small.steps ?? totalStepsOf(settings, model.config);
  return { model, settings: { ...settings, steps, tokens: undefined, lr: small.lr ?? lr } };
}

/** @throws ApolloError BAD_CONFIG when a method is named twice. */
export function checkMethods({ methods }: Pick<Settings, 'methods'>): void {
  if (new Set(methods).size === methods.length) return;
  throw new ApolloError('BAD_CONFIG', `methods: each method once; got ${methods.join(', ')}`);
}

export class Comparison {
  readonly #options: ComparisonOptions;
  readonly #runs: readonly ComparedRun[];
  /** Smaller models that methods begin with, one for each seed. */
  readonly #small: readonly PlannedRun[];

  /** @throws ApolloError BAD_CONFIG when a method is named twice or has wrong settings. */
  constructor(options: ComparisonOptions) {
    this.#options = options;
    const { settings, session, previous } = options;
    const { model } = session;
    const { config } = model;
    checkMethods(settings);
    const seq = sequenceOf(settings, config);
    const tokens = tokensPerStepOf(settings, config);
    const steps = totalStepsOf(settings, config);
    const size = { seq, tokens };
    this.#runs = seedsOf(settings).flatMap((seed) =>
      settings.methods.map((label) => {
        const method = methodOf(settings, label, config, seed, this.#folder(smallLabel, seed));
        const options = trainOptionsOf(settings, config, seed, session.precision);
        const before = previous.find((run) => run.method === label && run.seed === seed);
        const recorder = new RunRecorder({ label, method, seed, model: config, size, previous: before });
        const flops = plannedFlops(method, model, steps, size);
        return { label, method, model, options, seed, recorder, folder: this.#folder(label, seed), flops };
      }),
    );
    const begins = new Set(this.#runs.map(({ method }) => method.initial?.source));
    this.#small = seedsOf(settings)
      .filter((seed) => begins.has(this.#folder(smallLabel, seed)))
      .map((seed) => this.#planSmall(seed));
  }

  #folder(label: string, seed: number): string {
    return join(this.#options.folder, `${label}-${seed}`);
  }

  #planSmall(seed: number): PlannedRun {
    const { settings, session } = this.#options;
    const { model, settings: own } = smallRun(settings, session.model.config);
    const { layers } = model.config;
    const steps = totalStepsOf(own, model.config);
    const options = { ...trainOptionsOf(own, model.config, seed, session.precision), evaluateEvery: 0 };
    const method = createMethod('scratch', { layers, totalSteps: steps, seed });
    const size = { seq: sequenceOf(settings, model.config), tokens: tokensPerStepOf(settings, model.config) };
    const flops = plannedFlops(method, model, steps, size);
    return { label: smallLabel, method, model, options, seed, folder: this.#folder(smallLabel, seed), flops };
  }

  /**
   * Runs what is left to run. After an evaluation event, `results()` holds it. When the signal fires, every run that has
   * begun writes its checkpoint, and the iteration ends.
   */
  async *run(): AsyncGenerator<ComparisonEvent, void, void> {
    const { settings, signal } = this.#options;
    const all = [...this.#small, ...this.#runs].reduce((sum, run) => sum + run.flops, 0);
    const flopsDone = new Map<PlannedRun, number>();
    const told = (run: PlannedRun, event: TrainEvent): ComparisonEvent => {
      if (event.type === 'start') flopsDone.set(run, this.#flopsUntil(run, event.step));
      if (event.type === 'step') flopsDone.set(run, event.flopsModel);
      const done = [...flopsDone.values()].reduce((sum, flops) => sum + flops, 0) / all;
      return { method: run.label, seed: run.seed, folder: run.folder, event, done };
    };
    for (const seed of seedsOf(settings)) {
      for (const run of this.#small.filter((each) => each.seed === seed)) {
        for await (const event of this.#train(run)) yield told(run, event);
      }
      if (signal.aborted) return;
      const runs = this.#runs.filter((run) => run.seed === seed);
      const streams = runs.map((run) => this.#train(run));
      for await (const { run: index, event } of interleave(streams, (event) => event.type === 'evaluation')) {
        const run = runs[index]!;
        run.recorder.add(event);
        yield told(run, event);
      }
    }
  }

  /** The records so far. */
  results(): Results {
    const { settings, session } = this.#options;
    const { config } = session.model;
    return {
      format: 'apollo-lm/results/1',
      created: new Date().toISOString(),
      settings: { ...session.description },
      layers: config.layers,
      totalSteps: totalStepsOf(settings, config),
      reference: settings.methods[0]!,
      runs: this.#runs.map((run) => run.recorder.record()),
    };
  }

  #train({ label, method, model, options, folder }: PlannedRun): AsyncGenerator<TrainEvent, void, void> {
    const { settings, session, resume, signal } = this.#options;
    const { device, batches: corpus } = session;
    const init = label === smallLabel ? undefined : settings.init;
    const deps = { device, model, method, corpus, init, signal, checkpointDir: folder };
    return train(options, { ...deps, resume: resume ? 'auto' : false });
  }

  #flopsUntil({ method, model }: PlannedRun, step: number): number {
    const { settings } = this.#options;
    const seq = sequenceOf(settings, model.config);
    return plannedFlops(method, model, step, { seq, tokens: tokensPerStepOf(settings, model.config) });
  }
}
