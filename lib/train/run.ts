/** The state of one training run and what can be done with it: open, evaluate, save, grow, train a step, close. */
import type { Optimizer } from '../engine/optim/index.js';
import { ParameterStore } from '../engine/parameters.js';
import { ApolloError } from '../errors.js';
import { seedWords } from '../growth/index.js';
import { FollowedMethod, type SeenLosses } from '../methods/followed.js';
import type { MethodStage, StepPlan, TrainingMethod } from '../methods/method.js';
import { layerFlops, parameterCount } from '../models/index.js';
import { type CheckpointState, loadCheckpoint, readCheckpointState, saveCheckpoint } from './checkpoint/checkpoint.js';
import { CheckpointClock, checkpointWarning, lastCheckpointError } from './checkpoint/checkpoint-clock.js';
import { latestCheckpoint } from './checkpoint/checkpoint-folder.js';
import { type CheckpointJob, CheckpointWriter, type Written } from './checkpoint/checkpoint-writer.js';
import type { SourceCosts } from './checkpoint/model-folder.js';
import { newestWholeCheckpoint } from './checkpoint/whole-checkpoint.js';
import {
  beginningOf,
  checkBranch,
  differences,
  identityOf,
  lastStep,
  type RunIdentity,
  rateOfStep,
  type TrainConfig,
  withBeginning,
} from './config.js';
import { BatchAhead, type BatchInputs, hasTarget, labelShares } from './corpus.js';
import { stepFlops } from './cost.js';
import type { RunDependencies } from './dependencies.js';
import { evaluateMaps } from './evaluate.js';
import type { EvaluationEvent, StepEvent, TrainEvent } from './events.js';
import { grow } from './growth.js';
import { type BeginningOptions, digestOfBeginning, initialise } from './initial.js';
import { checkMemory } from './memory.js';
import { NonFiniteSteps } from './non-finite.js';
import { optimizerOf } from './optimizer.js';
import { gateInputs, RunPrograms, type TrainingProgram } from './programs.js';
import { type StageNetwork, stageNetwork } from './stage.js';
import { leftOut, nothingLearnt, tooManyNonFinite, withoutTarget } from './step-warnings.js';
import { type MicroBatch, type QueuedStep, StepStream, Trainer } from './trainer.js';
import { updateOf } from './updates.js';

/** A step that was queued. */
interface BegunStep extends QueuedStep {
  readonly plan: StepPlan;
  readonly lr: number;
}

/** The learning rate of a step: the scheduled one unless the method changes it. */
function rateOf({ learningRate: own }: StepPlan, step: number, config: TrainConfig): number {
  if (!own) return rateOfStep(step, config);
  if ('value' in own) return own.value;
  return 'since' in own ? rateOfStep(step, config, own) : rateOfStep(step, config) * own.factor;
}

/** One run: its resources and the few numbers that change from step to step. */
export class Run {
  step = 0;
  network: StageNetwork;
  readonly totals = { tokens: 0, flopsModel: 0, flopsExecuted: 0, trainMs: 0 };
  /** Steps of this process of which no batch had a target. */
  stepsWithoutTarget = 0;
  #stepsHere = 0;
  /** Last step at which an evaluation was done. */
  evaluatedAt = -1;
  /** What training the model cost that this run began with, where it did. */
  sourceCosts: SourceCosts | undefined;
  /** What is to be said about the model that it began with. */
  beginWarnings: readonly string[] = [];
  /** What is to be said about checkpoints that it did not resume from because they are damaged. */
  damageWarnings: readonly string[] = [];

  readonly store: ParameterStore;
  programs: RunPrograms;
  readonly optimizer: Optimizer;
  readonly batches: BatchAhead;
  readonly nonFinite: NonFiniteSteps;
  identity: RunIdentity;
  readonly #trainer: Trainer;
  readonly #steps: StepStream<BegunStep>;
  readonly #checkpoints: CheckpointWriter;
  #clock: CheckpointClock;
  #method: FollowedMethod;

  constructor(
    readonly config: TrainConfig,
    readonly deps: RunDependencies,
  ) {
    const { device, model, method, corpus, objective } = deps;
    const { batch, seq, seed, precision } = config;
    this.#method = new FollowedMethod(method);
    this.identity = identityOf(config, model.config, method, corpus.key, objective);
    this.store = deps.store ?? new ParameterStore(device, { precision });
    this.network = stageNetwork(model, method.stageAt(0));
    this.programs = this.#programs();
    this.optimizer = optimizerOf(config, this.store);
    this.nonFinite = new NonFiniteSteps(config.nonFiniteLimit);
    this.#trainer = new Trainer(this.store, this.optimizer);
    this.#steps = new StepStream(
      (step) => this.#begin(step),
      (step) => this.#mayFollow(step),
    );
    this.#checkpoints = new CheckpointWriter(this.store);
    this.#clock = new CheckpointClock(config.checkpointMinutes, 0);
    this.batches = new BatchAhead((step, micro) => corpus.batch({ batch, seq, seed, step, micro }));
  }

  get aborted(): boolean {
    return this.deps.signal?.aborted ?? false;
  }

  get tokensPerStep(): number {
    return this.config.batch * this.config.seq * this.config.accumulation;
  }

  /** As far as the losses so far have decided it. */
  get method(): TrainingMethod {
    return this.#method.current;
  }

  /** Training losses that the method has seen, for one that goes by them. */
  get seen(): SeenLosses | undefined {
    return this.#method.seen;
  }

  get stage(): MethodStage {
    return this.network.stage;
  }

  /** Elements of all that trains in the stage. */
  get parameters(): number {
    return parameterCount(this.network.specs);
  }

  #programs(): RunPrograms {
    const { store, network, config, deps } = this;
    const { device, objective } = deps;
    return new RunPrograms({ device, store, network, precision: config.precision, objective });
  }

  /** The network of the stage that a checkpoint was written in; a switch due at its step may be done or not. */
  #enter(state: CheckpointState): void {
    this.#method = new FollowedMethod(this.deps.method, state.seen);
    const { method } = this;
    const next = method.stageAt(state.step);
    const stage = next.index === state.stage.index ? next : method.stageAt(Math.max(0, state.step - 1));
    this.network = stageNetwork(this.deps.model, stage);
    this.programs = this.#programs();
  }

  /** Initial weights, or those of the checkpoint to go on from; returns that checkpoint's folder and state. */
  async open(): Promise<{ folder: string; state: CheckpointState } | undefined> {
    const { checkpointDir, resume = false } = this.deps;
    if (resume && checkpointDir === undefined) {
      throw new ApolloError(
        'BAD_ARGUMENT',
        'resume needs checkpointDir, the folder with the checkpoints to go on from.',
      );
    }
    const other = checkpointDir === undefined || resume ? undefined : await latestCheckpoint(checkpointDir);
    if (other) {
      throw new ApolloError(
        'BAD_ARGUMENT',
        `${checkpointDir} holds the checkpoints of another run (step ${other.step}). ` +
          'Resume it, or give another folder for a new run.',
      );
    }
    const latest = checkpointDir === undefined ? undefined : await newestWholeCheckpoint(checkpointDir);
    if (!latest && this.deps.branchFrom !== undefined) return this.#load(this.deps.branchFrom, { branch: true });
    if (!latest) {
      if (resume === true) {
        throw new ApolloError(
          'BAD_CHECKPOINT',
          `There is no checkpoint in ${checkpointDir} to resume from. Give the folder of an earlier run, or start one without resume.`,
        );
      }
      const { store, network } = this;
      const { digest, costs, warnings } = await initialise({ store, network, ...this.#beginning() });
      this.identity = withBeginning(this.identity, digest);
      this.sourceCosts = costs;
      this.beginWarnings = warnings;
      await this.#checkMemory();
      return undefined;
    }
    const loaded = await this.#load(latest.path, { branch: false });
    this.damageWarnings = await latest.setAside();
    return loaded;
  }

  /** Continues from a checkpoint of this run, or from one of the run that this one branches off. */
  async #load(folder: string, { branch }: { branch: boolean }): Promise<{ folder: string; state: CheckpointState }> {
    const state = await this.#checkIdentity(folder, branch);
    this.#enter(state);
    await loadCheckpoint(folder, this.store, this.network.specs);
    this.step = state.step;
    this.sourceCosts = state.source;
    Object.assign(this.totals, state.totals);
    this.nonFinite.count = state.nonFiniteSteps;
    this.evaluatedAt = state.evaluated ? state.step : -1;
    this.#clock = new CheckpointClock(this.config.checkpointMinutes, this.totals.trainMs);
    if (!branch) this.#checkpoints.resumed(folder, this.#position());
    await this.#checkMemory();
    return { folder, state };
  }

  #beginning(): BeginningOptions {
    const { method, init } = this.deps;
    return { method, init, seed: this.config.seed };
  }

  async #checkMemory(): Promise<void> {
    const { config, deps, step, programs, store, network } = this;
    const { device, model, corpus } = deps;
    await checkMemory(
      { device, store, network, precision: config.precision, objective: deps.objective },
      { finished: model, config, method: this.method, corpus, step: Math.max(0, step - 1), programs },
    );
  }

  async #checkIdentity(folder: string, branch: boolean): Promise<CheckpointState> {
    const state = await readCheckpointState(folder);
    if (branch) checkBranch(this.config, state.step, folder);
    const digest = await digestOfBeginning(this.#beginning(), beginningOf(state.identity));
    this.identity = withBeginning(this.identity, digest);
    const { anneal, ...trunk } = this.identity;
    const changed = differences(state.identity, branch ? trunk : this.identity);
    if (changed.length === 0) return state;
    throw new ApolloError(
      'BAD_CONFIG',
      `The checkpoint ${folder} belongs to a run with other settings:\n  ${changed.join('\n  ')}\n` +
        'Resume with the settings it was begun with, or start a new run in another folder.',
    );
  }

  /** Whether an evaluation is due when `step` steps are done. */
  evaluationDue(step: number): boolean {
    const every = this.config.evaluateEvery;
    if (every === 0 || this.evaluatedAt === step) return false;
    return step === 0 || step >= lastStep(this.config) || (every !== undefined && step % every === 0);
  }

  /** Whether a checkpoint is due when `step` steps are done. */
  checkpointDue(step: number): boolean {
    const { checkpointEvery: every, keepAt } = this.config;
    const bySteps = step > 0 && ((every > 0 && step % every === 0) || keepAt.includes(step));
    return bySteps || this.#clock.due(this.totals.trainMs);
  }

  async evaluate(): Promise<EvaluationEvent> {
    const { config, deps, step, totals } = this;
    const start = performance.now();
    // The stage that has been trained so far: a switch due at this step is not done yet.
    const trained = Math.max(0, step - 1);
    const maps = this.method.evaluationMaps(trained);
    const losses = await evaluateMaps(maps, {
      programs: this.programs,
      corpus: deps.corpus,
      batch: config.batch,
      seq: config.seq,
      limit: config.evaluationBatches,
      gates: this.method.evaluationGates?.(trained),
      signal: deps.signal,
    });
    this.evaluatedAt = step;
    const { units } = this.stage;
    const { flopsModel, trainMs, tokens } = totals;
    return {
      type: 'evaluation',
      step,
      units,
      ...losses,
      flops: flopsModel,
      trainMs,
      tokens,
      ms: performance.now() - start,
    };
  }

  #position(): string {
    return `${this.step}/${this.stage.index}`;
  }

  get lastSaved(): string | undefined {
    return this.#checkpoints.lastSaved;
  }

  #checkpoint(directory: string): CheckpointJob {
    const { method, seen } = this;
    const { kind, threads } = this.deps.device.info();
    // The map of the stage the weights are in: that of the next step when its switch is done, else of the last one.
    const { index, units, shape, reparameterisation } = this.stage;
    const next = method.stageAt(this.step).index === index ? this.step : this.step - 1;
    const state = {
      step: this.step,
      stage: { index, units, ...(shape && { shape }), ...(reparameterisation && { reparameterised: true }) },
      ...(this.sourceCosts && { source: this.sourceCosts }),
      layerMap: [...method.evaluationMaps(next).full],
      identity: this.identity,
      totals: { ...this.totals },
      nonFiniteSteps: this.nonFinite.count,
      ...(seen && { seen: { ...seen, means: [...seen.means] } }),
      evaluated: this.evaluatedAt === this.step,
      device: { kind, threads },
    };
    const { keepCheckpoints: keep, keepAt } = this.config;
    return {
      step: this.step,
      position: this.#position(),
      write: (view) => saveCheckpoint(directory, view, state, { keep, keepAt }),
    };
  }

  /** Starts a checkpoint, which is written beside training. */
  async save(): Promise<void> {
    const { checkpointDir } = this.deps;
    this.#clock.wrote(this.totals.trainMs);
    if (checkpointDir === undefined || this.#checkpoints.isSaved(this.#position())) return;
    await this.#checkpoints.begin(this.#checkpoint(checkpointDir));
  }

  /** Waits for the checkpoint that is being written. */
  async written(): Promise<void> {
    await this.#checkpoints.settled();
  }

  /** Writes the checkpoint of the run's end, unless this position is saved. */
  async saveLast(): Promise<void> {
    const { checkpointDir } = this.deps;
    if (checkpointDir !== undefined) await this.#checkpoints.complete(this.#checkpoint(checkpointDir));
  }

  /** What is to be said of the checkpoints that ended since. @throws what is no error of the file system. */
  saved(): TrainEvent[] {
    return this.#checkpoints.take().map((written: Written) => {
      if (!('error' in written)) return { type: 'checkpoint', ...written };
      const message = checkpointWarning(written.error, this.lastSaved);
      return { type: 'warning', step: written.step, code: 'CHECKPOINT_FAILED', message };
    });
  }

  /** The same of the checkpoint of the run's end. @throws what it threw. */
  savedLast(): TrainEvent[] {
    return this.#checkpoints.take().map((last) => {
      if ('error' in last) throw lastCheckpointError(last.error, this.lastSaved);
      return { type: 'checkpoint', ...last };
    });
  }

  /** The switch that the next step begins with, unless it is done already. */
  async grow(): Promise<TrainEvent | undefined> {
    const { method } = this;
    const { model, corpus } = this.deps;
    const stage = method.stageAt(this.step);
    const plan = stage.index === this.stage.index ? undefined : method.growth(this.step);
    if (!plan) return undefined;
    this.#letGo();
    const next = stageNetwork(model, stage);
    const { batch, seq, seed } = this.config;
    const calibration = await grow(plan, {
      store: this.store,
      before: this.network,
      after: next,
      seed,
      batch: async () => ({
        shape: corpus.shape(batch, seq),
        inputs: await corpus.batch({ batch, seq, seed, step: this.step, micro: 0 }),
      }),
    });
    if (calibration) {
      this.totals.flopsModel += calibration.layerPasses * layerFlops(next.model.config, seq) * batch * seq;
      this.totals.flopsExecuted += calibration.flops;
    }
    this.network = next;
    this.programs = this.#programs();
    return {
      type: 'growth',
      step: this.step,
      from: plan.from,
      to: plan.to,
      parameters: this.parameters,
      ...(calibration && { calibrated: calibration.factor }),
    };
  }

  /**
   * The micro-batches of a step that have a target, each with its share of the step's labels. A batch of the step after it is
   * built when one of this is queued: their labels can be counted when that step begins.
   */
  async *#microBatches(
    step: number,
    { program, random, weighted, binding }: TrainingProgram,
    plan: StepPlan,
  ): AsyncGenerator<MicroBatch, void, void> {
    const { seed, accumulation } = this.config;
    const gates = gateInputs(plan);
    const batches = await this.batches.take(step, accumulation);
    const shares = weighted ? labelShares(batches) : [Number(hasTarget(batches[0] as BatchInputs))];
    for (let micro = 0; micro < accumulation; micro++) {
      const rng = Int32Array.from([...seedWords(seed), step, micro]);
      const share = shares[micro] as number;
      const weight = weighted && { share: Float32Array.of(share) };
      const inputs = { ...batches[micro], ...(random && { rng }), ...weight, ...gates };
      if (share > 0) yield { program, binding, share, inputs };
      batches[micro] = {}; // copied by now: of two steps' batches no more than those of one are held
      if (this.deps.lookAhead !== false && step + 1 < lastStep(this.config)) this.batches.prepare(step + 1, micro);
    }
  }

  /** Queues a step. Its network is that of the stage the run is in. */
  async #begin(step: number): Promise<BegunStep> {
    const { config, deps } = this;
    const { batch, seq, accumulation } = config;
    const plan = this.method.plan(step);
    const training = await this.programs.training(plan, deps.corpus.shape(batch, seq), accumulation);
    const lr = rateOf(plan, step, config);
    const { names, options } = updateOf(training, plan);
    const outcome = this.#trainer.queue(
      {
        microBatches: () => this.#microBatches(step, training, plan),
        names,
        update: { lr, ...options },
      },
      deps.signal,
    );
    return { plan, lr, outcome };
  }

  /** Whether `step` can be queued before the outcome of the one before it is known: nothing comes between the two. */
  #mayFollow(step: number): boolean {
    const { method, stage, programs } = this;
    const { store, stop, lookAhead = !store && !stop } = this.deps;
    if (!lookAhead || this.aborted || step >= lastStep(this.config)) return false;
    if (this.#method.decidesNext || method.stageAt(step).index !== stage.index) return false;
    // A program that is still to be compiled would take the device's time between two runs of the step under way.
    return !this.evaluationDue(step) && !this.checkpointDue(step) && programs.has(method.plan(step));
  }

  /** Whether a step is under way whose event is still to come. */
  get isAhead(): boolean {
    return this.#steps.isAhead;
  }

  /** One optimizer step. Cancelled by the signal it changes nothing but gradients, which it clears. */
  async train(): Promise<StepEvent> {
    const { config, totals } = this;
    const { seq } = config;
    const { plan, lr, result } = await this.#steps.next(this.step);
    const { loss, gradNorm, applied, ms, flops, waitedMs, microBatches } = result;
    this.step++;
    this.#method.add(loss);
    this.#stepsHere++;
    if (microBatches === 0) this.stepsWithoutTarget++;
    this.nonFinite.add(result);
    totals.tokens += this.tokensPerStep;
    totals.flopsModel += stepFlops(this.network.model.config, plan, { seq, tokens: this.tokensPerStep }).model;
    totals.flopsExecuted += flops;
    totals.trainMs += ms;
    const { depth, units } = plan;
    const { flopsModel, flopsExecuted, tokens, trainMs } = totals;
    const tokensPerSecond = (1000 * this.tokensPerStep) / ms;
    return {
      type: 'step',
      step: this.step,
      loss,
      gradNorm,
      lr,
      depth,
      units,
      applied,
      flopsModel,
      flopsExecuted,
      tokens,
      trainMs,
      ms,
      tokensPerSecond,
      waitedMs,
      ...(microBatches === 0 && { withoutTarget: true }),
    };
  }

  /** What is to be said of a step. @throws ApolloError NON_FINITE when too many in a row were left out. */
  warningOf(event: StepEvent): TrainEvent | undefined {
    if (event.withoutTarget) return this.stepsWithoutTarget > 1 ? undefined : withoutTarget(event);
    if (event.applied) return undefined;
    const error = tooManyNonFinite(event, this.config, this.nonFinite, this.lastSaved);
    if (error) throw error;
    return leftOut(event);
  }

  /** @throws ApolloError BAD_CORPUS when none of the steps that were done had a target. */
  checkTargets(): void {
    if (this.stepsWithoutTarget > 0 && this.stepsWithoutTarget === this.#stepsHere)
      throw nothingLearnt(this.#stepsHere);
  }

  /** Forwards errors, except the one by which the signal cancels work. */
  async unlessAborted<Event>(work: () => Promise<Event>): Promise<Event | undefined> {
    try {
      return await work();
    } catch (error) {
      if (this.aborted && (error as { code?: unknown }).code === 'ABORT_ERR') return undefined;
      throw error;
    }
  }

  /** Frees the programs of a stage. */
  #letGo(): void {
    this.programs.clear();
    this.optimizer.dispose();
  }

  /** Stops what is under way, waits for the checkpoint that is being written, and frees all. */
  async close(): Promise<void> {
    await this.#trainer.stop();
    await this.#steps.drop();
    await this.#checkpoints.settled();
    this.#letGo();
    if (!this.deps.store) this.store.dispose();
  }
}
