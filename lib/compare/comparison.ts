/**
 * A comparison: for each seed the methods run on the same batches, taking turns from evaluation to evaluation, each with
 * its own weights and checkpoints. Yields what happens; compare.ts is the public function.
 */
import { join } from 'node:path';
import { alone, type Group } from '../dist/index.js';
import type { Device } from '../engine/device.js';
import { ApolloError } from '../errors.js';
import { checkedMethod, createMethod, type TrainingMethod } from '../methods/index.js';
import type { LanguageModel, ModelConfig } from '../models/index.js';
import type { Results, RunRecord } from '../report/results.js';
import {
  checkAnswers,
  type Objective,
  type RunIdentity,
  type TrainEvent,
  type TrainingCorpus,
  type TrainOptions,
  train,
} from '../train/index.js';
import { interleave } from './interleave.js';
import { PlannedFlops } from './planned-flops.js';
import { RunRecorder } from './recorder.js';
import { checkSameRuns, identityOfRuns } from './same-runs.js';
import type { SmallRun } from './small.js';

/** Something happened in one of the runs. */
export interface RunEvent {
  /** Tells it from the event of the results, whose type is `'results'`. */
  readonly type: 'run';
  /** The method's name in the comparison; `small` for the smaller model that methods start from. */
  readonly method: string;
  /** The seed of the run, one of the `seeds` of the comparison. */
  readonly seed: number;
  /** The run's own folder. */
  readonly folder: string;
  /** The run's own event, as `train` reports it. */
  readonly event: TrainEvent;
  /** Share of the whole comparison that is done, in model FLOPs. */
  readonly done: number;
}

/** Arguments from which a method is created. */
export interface ComparedContext {
  /** Depth of the finished model. */
  readonly layers: number;
  /** Optimizer steps of the run: the `steps` of the comparison. */
  readonly totalSteps: number;
  /** The seed of the run, one of the `seeds` of the comparison. */
  readonly seed: number;
  /** Tokens of a step, through all ranks. */
  readonly tokensPerStep: number;
  /** Configuration of the finished model. */
  readonly model: ModelConfig;
  /** Folder of the smaller model, which the comparison trains first when a method starts from it. */
  readonly source: string;
}

/** A method of a comparison. */
export interface ComparedMethod {
  /** Its name in events, folders and results; each name once. */
  readonly name: string;
  /** Makes the method of a run. @throws {ApolloError} BAD_CONFIG naming a setting that is wrong. */
  create(context: ComparedContext): TrainingMethod;
}

/** The options of a run but its seed. */
export type SeedlessOptions = Omit<TrainOptions, 'seed'>;

export interface ComparisonOptions {
  readonly device: Device;
  readonly model: LanguageModel;
  readonly corpus: TrainingCorpus;
  readonly train: SeedlessOptions;
  /** The first is the reference. */
  readonly methods: readonly ComparedMethod[];
  readonly seeds: readonly number[];
  /** The smaller model, for methods that start from one. */
  readonly small?: SmallRun | undefined;
  /** Folder of the comparison; checkpoints go to `METHOD-SEED` in it. */
  readonly folder: string;
  readonly resume: boolean;
  /** A trained model that all runs start from. */
  readonly init?: string | undefined;
  /** In place of the model's own loss, for all runs. */
  readonly objective?: Objective | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The ranks that train every run together, as `train` takes it. */
  readonly group?: Group | undefined;
  /** For the head of a report. */
  readonly description: Readonly<Record<string, string | number>>;
}

interface PlannedRun {
  readonly label: string;
  readonly method: TrainingMethod;
  readonly model: LanguageModel;
  readonly options: TrainOptions;
  readonly seed: number;
  readonly folder: string;
  readonly size: StepSize;
  readonly planned: PlannedFlops;
}

interface ComparedRun extends PlannedRun {
  readonly recorder: RunRecorder;
}

interface StepSize {
  readonly seq: number;
  readonly tokens: number;
}

const sizeOf = ({ batch, seq, accumulation = 1 }: SeedlessOptions, { size: ranks }: Group): StepSize => ({
  seq,
  tokens: batch * seq * accumulation * ranks,
});

/** Name of the runs of smaller models in events and folders. */
const smallLabel = 'small';

/** @throws ApolloError BAD_CONFIG when a method is named twice, or its name cannot be that of a folder. */
export function checkNames(names: readonly string[]): void {
  for (const name of names) {
    if (/^[\w.+-]+$/.test(name) && name !== smallLabel) continue;
    const why = name === smallLabel ? 'the smaller model has this name' : 'expected letters, digits and . + - _';
    throw new ApolloError('BAD_CONFIG', `methods: the name ${JSON.stringify(name)} cannot be used: ${why}.`);
  }
  if (new Set(names).size === names.length) return;
  throw new ApolloError('BAD_CONFIG', `methods: each method once; got ${names.join(', ')}`);
}

export class Comparison {
  readonly #options: ComparisonOptions;
  readonly #identity: RunIdentity;
  #runs: readonly ComparedRun[];
  /** Smaller models that methods start from, one per seed. */
  readonly #small: readonly PlannedRun[];
  readonly #group: Group;
  /** Earlier records of methods and seeds that this comparison does not train. */
  #others: readonly RunRecord[] = [];
  #stopped = false;

  /** @throws ApolloError BAD_CONFIG when a method or seed is named twice, or a method has a wrong name or settings. */
  constructor(options: ComparisonOptions) {
    this.#options = options;
    const { model, methods, seeds, train, group = alone } = options;
    this.#group = group;
    const { config } = model;
    checkNames(methods.map(({ name }) => name));
    if (new Set(seeds).size < seeds.length)
      throw new ApolloError('BAD_CONFIG', `seeds: each seed once; got ${seeds.join(', ')}`);
    const size = sizeOf(train, group);
    const { layers } = config;
    const totalSteps = train.steps;
    this.#runs = seeds.flatMap((seed) =>
      methods.map(({ name: label, create }) => {
        const source = this.#folder(smallLabel, seed);
        const made = create({ layers, totalSteps, seed, tokensPerStep: size.tokens, model: config, source });
        const method = checkedMethod(label, made);
        checkAnswers(method);
        const recorder = new RunRecorder({ label, method, seed, model: config, size });
        const planned = new PlannedFlops(method, model, size);
        const folder = this.#folder(label, seed);
        return { label, method, model, options: { ...train, seed }, seed, size, recorder, folder, planned };
      }),
    );
    this.#identity = identityOfRuns(options, this.#runs[0]!);
    const begins = new Set(this.#runs.map(({ method }) => method.initial?.source));
    this.#small = seeds
      .filter((seed) => begins.has(this.#folder(smallLabel, seed)))
      .map((seed) => this.#planSmall(seed));
  }

  #folder(label: string, seed: number): string {
    return join(this.#options.folder, `${label}-${seed}`);
  }

  #planSmall(seed: number): PlannedRun {
    const { small } = this.#options;
    if (!small) throw new ApolloError('BAD_CONFIG', 'small: a method starts from a smaller model; give its shape.');
    const { model, train } = small;
    const { layers } = model.config;
    const method = createMethod('scratch', { layers, totalSteps: train.steps, seed });
    const size = sizeOf(train, this.#group);
    const planned = new PlannedFlops(method, model, size);
    const options = { ...train, seed };
    return { label: smallLabel, method, model, options, seed, size, folder: this.#folder(smallLabel, seed), planned };
  }

  /**
   * Takes over the records of an earlier call in the folder.
   * @throws ApolloError BAD_CONFIG when its runs had other settings.
   */
  continueFrom(previous: Results): void {
    const { folder, model } = this.#options;
    checkSameRuns(folder, previous, this.results());
    const isOf = (run: PlannedRun) => (record: RunRecord) => record.method === run.label && record.seed === run.seed;
    this.#others = previous.runs.filter((record) => !this.#runs.some((run) => isOf(run)(record)));
    this.#runs = this.#runs.map((run) => {
      const recorder = new RunRecorder({ ...run, model: model.config, previous: previous.runs.find(isOf(run)) });
      return { ...run, recorder };
    });
  }

  /** Whether the signal of any rank has stopped the comparison; all ranks learn of it in the current run. */
  get stopped(): boolean {
    return this.#stopped || (this.#group.size === 1 && this.#options.signal?.aborted === true);
  }

  /**
   * Runs what is left to run. After an evaluation event, `results()` holds it. When the signal fires, every run that was
   * started writes its checkpoint, and the iteration ends.
   */
  async *run(): AsyncGenerator<RunEvent, void, void> {
    const { seeds } = this.#options;
    const all = [...this.#small, ...this.#runs].reduce((sum, run) => sum + run.planned.upTo(run.options.steps), 0);
    const flopsDone = new Map<PlannedRun, number>();
    const told = (run: PlannedRun, event: TrainEvent): RunEvent => {
      if (event.type === 'start') flopsDone.set(run, run.planned.upTo(event.step));
      if (event.type === 'step') flopsDone.set(run, event.flopsModel);
      if (event.type === 'done' && event.aborted) this.#stopped = true;
      const done = [...flopsDone.values()].reduce((sum, flops) => sum + flops, 0) / all;
      return { type: 'run', method: run.label, seed: run.seed, folder: run.folder, event, done };
    };
    for (const seed of seeds) {
      if (this.stopped) return;
      for (const run of this.#small.filter((each) => each.seed === seed)) {
        for await (const event of this.#train(run)) yield told(run, event);
      }
      if (this.stopped) return;
      const runs = this.#runs.filter((run) => run.seed === seed);
      const streams = runs.map((run) => this.#train(run));
      const turns = interleave(streams, {
        endsTurn: (event) => event.type === 'evaluation',
        mayStart: () => !this.stopped,
      });
      for await (const { run: index, event } of turns) {
        const run = runs[index]!;
        run.recorder.add(event);
        yield told(run, event);
      }
    }
  }

  /** The records so far, with earlier ones of methods and seeds that are not trained now. */
  results(): Results {
    const { model, train, methods, description } = this.#options;
    return {
      format: 'apollo-lm/results/1',
      created: new Date().toISOString(),
      settings: { ...description },
      layers: model.config.layers,
      totalSteps: train.steps,
      identity: this.#identity,
      reference: methods[0]!.name,
      runs: [...this.#runs.map((run) => run.recorder.record()), ...this.#others],
    };
  }

  #train({ label, method, model, options, folder }: PlannedRun): AsyncGenerator<TrainEvent, void, void> {
    const { device, corpus, resume, objective, signal, group } = this.#options;
    const init = label === smallLabel ? undefined : this.#options.init;
    const deps = { device, model, method, corpus, init, objective, signal, group, checkpointDir: folder };
    return train(options, { ...deps, resume: resume ? 'auto' : false });
  }
}
