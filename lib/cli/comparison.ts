/**
 * A comparison: for each seed the methods run on the same batches, taking turns from evaluation to evaluation, each with
 * its own weights and checkpoints. Knows nothing of terminals; yields what happens.
 */
import { join } from 'node:path';
import { ApolloError } from '../errors.js';
import type { TrainingMethod } from '../methods/index.js';
import type { Results, RunRecord } from '../report/results.js';
import { type TrainEvent, train } from '../train/index.js';
import type { Settings } from './config.js';
import { interleave } from './interleave.js';
import { RunRecorder } from './recorder.js';
import { methodOf, seedsOf, sequenceOf, tokensPerStepOf, totalStepsOf, trainOptionsOf } from './resolve.js';
import type { Session } from './session.js';
import { plannedFlops } from './share.js';

export interface ComparisonEvent {
  readonly method: string;
  readonly seed: number;
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
  readonly method: TrainingMethod;
  readonly seed: number;
  readonly recorder: RunRecorder;
  readonly flops: number;
}

export class Comparison {
  readonly #options: ComparisonOptions;
  readonly #runs: readonly PlannedRun[];

  /** @throws ApolloError BAD_CONFIG when a method is named twice or has wrong settings. */
  constructor(options: ComparisonOptions) {
    this.#options = options;
    const { settings, session, previous } = options;
    const { config } = session.model;
    if (new Set(settings.methods).size !== settings.methods.length) {
      throw new ApolloError('BAD_CONFIG', `methods: each method once; got ${settings.methods.join(', ')}`);
    }
    const seq = sequenceOf(settings, config);
    const tokens = tokensPerStepOf(settings, config);
    const steps = totalStepsOf(settings, config);
    this.#runs = seedsOf(settings).flatMap((seed) =>
      settings.methods.map((name) => {
        const method = methodOf(settings, name, config, seed);
        const recorder = new RunRecorder({
          method,
          seed,
          model: config,
          size: { seq, tokens },
          previous: previous.find((run) => run.method === name && run.seed === seed),
        });
        return { method, seed, recorder, flops: plannedFlops(method, session.model, steps, { seq, tokens }) };
      }),
    );
  }

  /**
   * Runs what is left to run. After an evaluation event, `results()` holds it. When the signal fires, every run that has
   * begun writes its checkpoint, and the iteration ends.
   */
  async *run(): AsyncGenerator<ComparisonEvent, void, void> {
    const { settings, signal } = this.#options;
    const all = this.#runs.reduce((sum, run) => sum + run.flops, 0);
    const flopsDone = new Map<PlannedRun, number>();
    for (const seed of seedsOf(settings)) {
      if (signal.aborted) return;
      const runs = this.#runs.filter((run) => run.seed === seed);
      const streams = runs.map((run) => this.#train(run));
      for await (const { run: index, event } of interleave(streams, (event) => event.type === 'evaluation')) {
        const run = runs[index]!;
        run.recorder.add(event);
        if (event.type === 'start') flopsDone.set(run, this.#flopsUntil(run, event.step));
        if (event.type === 'step') flopsDone.set(run, event.flopsModel);
        const done = [...flopsDone.values()].reduce((sum, flops) => sum + flops, 0) / all;
        yield { method: run.method.name, seed, event, done };
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

  #train({ method, seed }: PlannedRun): AsyncGenerator<TrainEvent, void, void> {
    const { settings, session, folder, resume, signal } = this.#options;
    const { device, model, batches: corpus, precision } = session;
    const options = trainOptionsOf(settings, model.config, seed, precision);
    const checkpointDir = join(folder, `${method.name}-${seed}`);
    return train(options, { device, model, method, corpus, signal, checkpointDir, resume: resume ? 'auto' : false });
  }

  #flopsUntil({ method }: PlannedRun, step: number): number {
    const { settings, session } = this.#options;
    const { model } = session;
    const seq = sequenceOf(settings, model.config);
    return plannedFlops(method, model, step, { seq, tokens: tokensPerStepOf(settings, model.config) });
  }
}
