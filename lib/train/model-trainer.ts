/** Training step by step, for programs with a loop of their own. */
import { agreed, fromFirst } from '../dist/index.js';
import type { ParameterStore } from '../engine/parameters.js';
import { ApolloError, check } from '../errors.js';
import * as is from '../is.js';
import type { BatchShape } from '../models/index.js';
import { lastStep, type TrainConfig, type TrainOptions } from './config.js';
import { type BatchInputs, type BatchSize, batchProblem, type TrainingCorpus } from './corpus.js';
import { dependencyChecks, type TrainDependencies } from './dependencies.js';
import type { EvaluationEvent, GrowthEvent, StepEvent } from './events.js';
import { createRun } from './fit.js';
import type { Run } from './run.js';
import { startWarnings } from './start-warnings.js';

/** Settings of `train` that say when it writes a checkpoint: the caller of a trainer decides. */
const ofTrain = ['checkpointEvery', 'checkpointMinutes'] as const;

function unused(options: TrainOptions): string[] {
  const given = ofTrain.filter((key) => (options[key] ?? 0) > 0);
  if (given.length === 0) return [];
  return [
    `${given.join(' and ')} ${given.length > 1 ? 'have' : 'has'} no effect here: a trainer writes a checkpoint when save() is called.`,
  ];
}

/** As `train` takes them; what follows is for your own loop. */
export interface TrainerDependencies extends Omit<TrainDependencies, 'method' | 'corpus' | 'stop' | 'store'> {
  /** Default: scratch, all layers from the start. */
  readonly method?: TrainDependencies['method'];
  /** Where `step()` takes batches and `evaluate()` the held-out text. Without one, each step is given its batch. */
  readonly corpus?: TrainingCorpus;
  /** Static shape of the batches that steps are given, where it is more than { batch, seq }: BERT's masked positions, padding. */
  readonly shape?: Partial<Omit<BatchShape, 'batch' | 'seq'>>;
}

/** The outcome of one step; see StepEvent for its fields. */
export interface TrainerStepResult extends Omit<StepEvent, 'type'> {
  /** The growth at the start of the step. */
  readonly growth?: Omit<GrowthEvent, 'type' | 'step'>;
}

const takesCreateTrainer = is.takes('createTrainer', {
  options: is.record,
  deps: is.options({
    ...dependencyChecks,
    method: is.optional(is.chosenMethod),
    corpus: is.optional(is.trainingCorpus),
    shape: is.optional(
      is.options({
        targets: is.optional(is.count),
        padding: is.optional(is.boolean),
        types: is.optional(is.boolean),
      }),
    ),
  }),
});

/** Batches that come with each step instead of from a corpus. */
class GivenBatches implements TrainingCorpus {
  readonly key = 'given';
  readonly #shape: TrainerDependencies['shape'];
  given: readonly BatchInputs[] | undefined;

  constructor(shape: TrainerDependencies['shape']) {
    this.#shape = shape;
  }

  shape({ batch, seq }: BatchSize): BatchShape {
    return { batch, seq, padding: false, ...this.#shape };
  }

  /** Micro-batches are counted through all ranks, each of which is given its own. */
  batch({ micro }: { readonly micro: number }): BatchInputs {
    return this.given![micro % this.given!.length]!;
  }

  heldOutCount(): number {
    return 0;
  }

  heldOut(): never {
    throw new ApolloError('INTERNAL', 'There is no held-out text.');
  }
}

/**
 * Made by createTrainer. Calls may be queued: each starts when the previous one is settled.
 * @example
 * const trainer = await createTrainer({ steps: 10, batch: 2, seq: 16 }, { device, model, method: 'scratch' });
 * const { loss } = await trainer.step({ tokens: new Int32Array(32), labels: new Int32Array(32) });
 * await trainer.close();
 */
export class ModelTrainer {
  /** The settings with their defaults; `accumulation` is that of all ranks together. */
  readonly config: TrainConfig;
  /**
   * Warnings about the start, which `train` reports as events: a damaged checkpoint that was passed over, another device
   * or number of ranks than before, weights that the initial model lacks. Also settings that have no effect in a loop of
   * your own.
   */
  readonly warnings: readonly string[];
  readonly #run: Run;
  readonly #given: GivenBatches | undefined;
  /** A growth that no step has returned yet: the one that it was done for may have failed. */
  #growth: GrowthEvent | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;

  /** Use createTrainer. */
  constructor(run: Run, given: GivenBatches | undefined, warnings: readonly string[]) {
    this.config = run.config;
    this.warnings = warnings;
    this.#run = run;
    this.#given = given;
  }

  /** Updates done, through all resumes. */
  get steps(): number {
    return this.#run.step;
  }

  /** Whether the run's last step is done. */
  get done(): boolean {
    return this.#run.step >= lastStep(this.config);
  }

  /** Layers that have their own weights now. */
  get layers(): number {
    return this.#run.stage.trainedLayers;
  }

  /** The weights, by name. */
  get store(): ParameterStore {
    return this.#run.store;
  }

  /** The newest checkpoint, on the rank that writes it. */
  get checkpoint(): string | undefined {
    return this.#run.checkpoints.lastSaved;
  }

  /**
   * Trains one step: on these micro-batches (one, or as many as `accumulation` says), or on the corpus's. When the method's
   * next stage starts there, the network grows first. All ranks of a group call it, each with its own micro-batches. Until the
   * promise is settled the arrays must stay as they are: a step that waits for others reads them when it starts.
   * @throws ApolloError BAD_ARGUMENT when batches are missing or not as many, or the run is at its end; NON_FINITE when too
   * many steps in a row were not applied; ABORT_ERR; what the engine throws for a batch that does not fit.
   */
  step(batches?: BatchInputs | readonly BatchInputs[]): Promise<TrainerStepResult> {
    return this.#next(async () => {
      const run = this.#run;
      const accumulation = run.micros.length;
      check(
        !this.done,
        `step: the run ended with step ${run.step}, as in its settings; start another run to continue training`,
      );
      await agreed(run.deps.group, async () => {
        if (this.#given) {
          const list = batches === undefined ? [] : Array.isArray(batches) ? batches : [batches];
          check(
            list.length === accumulation,
            `step takes ${accumulation} micro-batches (accumulation), for there is no corpus; got ${list.length}`,
          );
          for (const batch of list) {
            const problem = batchProblem(batch);
            check(problem === undefined, `step: ${problem}`);
          }
          this.#given.given = list as readonly BatchInputs[];
        } else check(batches === undefined, 'step takes no batches: the corpus gives them');
      });
      const grown = await run.grow();
      if (grown?.type === 'growth') this.#growth = grown;
      const { type: _, ...step } = await run.train();
      run.warningOf({ type: 'step', ...step }); // throws when too many were left out
      if (!this.#growth) return step;
      const { type: _type, step: _step, ...growth } = this.#growth;
      this.#growth = undefined;
      return { ...step, growth };
    });
  }

  /**
   * Held-out loss of the corpus, at full depth and with the trained layers alone; the ranks of a group share it. With
   * `syncEvery` it can be called between two rounds (before the first step, and after a step with an outer step): within a
   * round each rank has its own weights, and there is no model that all of them could measure.
   * @throws ApolloError BAD_ARGUMENT without a corpus, or within a round, naming the step that ends it.
   */
  evaluate(): Promise<Omit<EvaluationEvent, 'type'>> {
    return this.#next(async () => {
      const run = this.#run;
      check(!this.#given, 'evaluate requires a corpus, whose held-out text it measures on');
      if (run.rounds.isOpen(run.step)) throw new ApolloError('BAD_ARGUMENT', this.#withinRound());
      const { type: _, ...losses } = await run.evaluate();
      return losses;
    });
  }

  /**
   * Writes a checkpoint, from which `resume: true` continues to the same bits, and which openModelFolder, generate and export
   * take. Returns its folder. All ranks of a group call it, and the first one writes.
   * @throws ApolloError BAD_ARGUMENT without checkpointDir, FILE_SYSTEM.
   */
  save(): Promise<string> {
    return this.#next(async () => {
      const run = this.#run;
      const { group } = run.deps;
      const own = await agreed(group, async () => {
        await run.checkpoints.saveNow();
        run.checkpoints.lastEvents();
        return run.checkpoints.lastSaved;
      });
      const lastSaved = await fromFirst(group, async () => own);
      check(typeof lastSaved === 'string', 'save requires checkpointDir, the folder for checkpoints');
      return lastSaved;
    });
  }

  /** Frees weights and programs, when what was asked for before is done. */
  close(): Promise<void> {
    this.#closing ??= this.#last.then(() => this.#run.close());
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Why there is no evaluation within a round, and when there is one. */
  #withinRound(): string {
    const { rounds, step } = this.#run;
    const [end, last] = [rounds.endOf(step), lastStep(this.config)];
    const when =
      end <= last
        ? `call it when step ${end} is done, which ends the round`
        : `step ${end} ends the round, and this run ends before, with step ${last} (stopAfter): resume it with a later end`;
    return `evaluate measures the weights that all ranks have in common; after step ${step} each rank has its own (syncEvery ${this.config.syncEvery}): ${when}`;
  }

  /** Does `work` when what was asked for before is done. */
  async #next<Value>(work: () => Promise<Value>): Promise<Value> {
    if (this.#closing) throw new ApolloError('CLOSED', 'the trainer is closed; create another with createTrainer()');
    const next = this.#last.then(work);
    this.#last = next.catch(() => {});
    return next;
  }
}

/**
 * A trainer for your own loop: settings, methods, objectives and checkpoints are those of `train`, but nothing happens
 * unless it is called.
 * @param options Settings of the run, as `train` takes them.
 * @param deps Device and model; method, corpus or shape of the batches; the folder of the checkpoints.
 * @example
 * ```ts
 * const trainer = await createTrainer({ steps: 1000, batch: 16, seq: 64 }, { device, model });
 * while (!trainer.done) {
 *   const { loss } = await trainer.step({ tokens, labels });
 * }
 * await trainer.close();
 * ```
 * @throws ApolloError as `train`.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function createTrainer(options: TrainOptions, deps: TrainerDependencies): Promise<ModelTrainer> {
  takesCreateTrainer(options, deps);
  const { corpus, shape, ...rest } = deps;
  check(!(corpus && shape), 'createTrainer: shape is for batches that steps are given; the corpus has its own');
  const given = corpus ? undefined : new GivenBatches(shape);
  const { method = 'scratch' } = rest;
  const run = createRun(options, { ...rest, method, corpus: corpus ?? (given as TrainingCorpus), lookAhead: false });
  try {
    const resumed = await run.open();
    const warnings = [...unused(options), ...startWarnings(run, resumed?.state).map(({ message }) => message)];
    return new ModelTrainer(run, given, warnings);
  } catch (error) {
    await run.closeAfterError();
    throw error;
  }
}
