/** The state of one training run and what can be done with it: open, evaluate, save, grow, train a step, close. */
import { agreed, fromFirst, GradientExchange, nativeGroupOf, OuterStep, StepAgreement } from '../dist/index.js';
import type { Optimizer } from '../engine/optim/index.js';
import { ParameterStore } from '../engine/parameters.js';
import { AdaptiveMethod, type SeenLosses } from '../methods/adaptive.js';
import type { MethodStage, TrainingMethod } from '../methods/method.js';
import { layerFlops, parameterCount } from '../models/index.js';
import { type CheckpointState, flopsLayersOf, loadCheckpoint } from './checkpoint/checkpoint.js';
import type { SourceCosts } from './checkpoint/model-folder.js';
import { checkpointOfRank } from './checkpoint/rank-folder.js';
import { identityOf, lastStep, type RunIdentity, type TrainConfig, withBeginning } from './config.js';
import { BatchAhead, type BatchRequest, type BatchSize } from './corpus.js';
import type { RunDependencies } from './dependencies.js';
import { evaluateMaps } from './evaluate.js';
import type { EvaluationEvent, StepEvent, TrainEvent } from './events.js';
import { grow } from './growth.js';
import { type BeginningOptions, initialise } from './initial.js';
import { checkMemory } from './memory.js';
import { evaluationGatesOf, growthOf, planOf } from './method-answers.js';
import { NonFiniteSteps } from './non-finite.js';
import { checkedStart, findCommonStart, type Start } from './opening.js';
import { optimizerOf } from './optimizer.js';
import { outerOptionsOf, Rounds } from './outer.js';
import { RunPrograms } from './programs.js';
import { queueStep, type RunStep } from './queue-step.js';
import { RunCheckpoints } from './run-checkpoints.js';
import { checkSameSettings } from './same-run.js';
import { type StageNetwork, stageNetwork } from './stage.js';
import { type RunTotals, StepCounts } from './step-counts.js';
import { leftOut, tooManyNonFinite, withoutTarget } from './step-warnings.js';
import { StepStream, Trainer } from './trainer.js';

/** One run: its resources and the few numbers that change from step to step. */
export class Run {
  step = 0;
  closed = false;
  network: StageNetwork;
  readonly counts: StepCounts;
  /** Last step at which an evaluation was done. */
  evaluatedAt = -1;
  /** Training cost of the run's initial model, if it has one. */
  sourceCosts: SourceCosts | undefined;
  /** Warnings about the initial model. */
  beginWarnings: readonly string[] = [];
  /** Warnings about damaged checkpoints that it did not resume from. */
  damageWarnings: readonly string[] = [];

  readonly store: ParameterStore;
  programs: RunPrograms;
  readonly optimizer: Optimizer;
  readonly batches: BatchAhead;
  readonly nonFinite: NonFiniteSteps;
  identity: RunIdentity;
  readonly trainer: Trainer;
  /** Where each rank updates its own weights. */
  readonly outer: OuterStep | undefined;
  readonly rounds: Rounds;
  readonly #steps: StepStream<RunStep>;
  readonly checkpoints: RunCheckpoints;
  #method: AdaptiveMethod;
  /** Of the micro-batches of a step those that this rank runs. */
  readonly micros: readonly number[];
  /** Whether a step of a group was left out because a rank was stopped. */
  #groupStopped = false;

  constructor(
    readonly config: TrainConfig,
    readonly deps: RunDependencies,
  ) {
    const { device, model, method, corpus, objective, group } = deps;
    const { precision } = config;
    this.#method = new AdaptiveMethod(method);
    this.identity = identityOf(config, model.config, method, corpus.key, objective);
    this.store = deps.store ?? new ParameterStore(device, { precision });
    this.network = stageNetwork(model, method.stageAt(0));
    this.programs = this.#programs();
    this.optimizer = optimizerOf(config, this.store);
    this.nonFinite = new NonFiniteSteps(config.nonFiniteLimit);
    const native = nativeGroupOf(group);
    if (config.shardOptimizer && native) this.store.shardState(native);
    const { exchangePrecision, overlapExchange: overlap } = config;
    const exchange =
      group.size > 1 ? new GradientExchange(group, this.store, { precision: exchangePrecision, overlap }) : undefined;
    const outer = outerOptionsOf(config);
    this.outer = outer && new OuterStep(group, this.store, outer);
    const { syncEvery: every = 1, steps, anneal } = config;
    const stageOf = (step: number) => this.method.stageAt(step).index;
    this.rounds = new Rounds({ every, end: anneal?.end ?? steps, stageOf }, this.outer);
    this.trainer = new Trainer(this.store, this.optimizer, outer && exchange ? new StepAgreement(exchange) : exchange);
    const own = config.accumulation / group.size;
    this.micros = Array.from({ length: own }, (_, micro) => group.rank * own + micro);
    this.#steps = new StepStream(
      (step) => queueStep(this, step),
      (step) => this.#mayFollow(step),
    );
    this.counts = new StepCounts({ seq: config.seq, tokens: this.tokensPerStep });
    this.checkpoints = new RunCheckpoints(this);
    this.batches = new BatchAhead((step, micro) => corpus.batch(this.#request(step, micro)));
  }

  get totals(): RunTotals {
    return this.counts.totals;
  }

  /** Whether the run is stopped. Ranks stop together, after a step that all of them left out, whichever got the signal. */
  get aborted(): boolean {
    if (this.deps.group.size > 1) return this.#groupStopped;
    return this.deps.signal?.aborted ?? false;
  }

  /** See RunCheckpoints. */
  get note(): number {
    return this.checkpoints.note;
  }

  /** Of a micro-batch. */
  get batchSize(): BatchSize {
    const { batch, seq } = this.config;
    return { batch, seq, objective: this.deps.model.objective };
  }

  #request(step: number, micro: number): BatchRequest {
    const { seed, accumulation } = this.config;
    return { ...this.batchSize, seed, step, micro, accumulation };
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
    const { device, objective, group } = deps;
    const sumLoss = group.size > 1;
    return new RunPrograms({ device, store, network, precision: config.precision, objective, sumLoss });
  }

  /** The network of the stage that a checkpoint was written in; a switch due at its step may be done or not. */
  #enter(state: CheckpointState): void {
    this.#method = new AdaptiveMethod(this.deps.method, state.seen);
    const { method } = this;
    const next = method.stageAt(state.step);
    const stage = next.index === state.stage.index ? next : method.stageAt(Math.max(0, state.step - 1));
    this.network = stageNetwork(this.deps.model, stage);
    this.programs = this.#programs();
  }

  /** Initial weights, or those of the checkpoint to continue from; returns that checkpoint's folder and state. */
  async open(): Promise<{ folder: string; state: CheckpointState } | undefined> {
    const { group } = this.deps;
    await checkSameSettings(group, { ...this.config, ...this.identity });
    await this.checkpoints.open();
    const start = await findCommonStart(group, this.deps);
    // Neither of the two waits for other ranks, which would otherwise wait for one that has failed in it.
    const opened = await agreed(group, async () => {
      const loaded = start ? await this.#load(start) : await this.#initialise();
      await this.checkpoints.setNewerAside();
      return loaded;
    });
    await this.checkpoints.checkSame();
    return opened;
  }

  async #initialise(): Promise<undefined> {
    const { store, network } = this;
    const { digest, costs, warnings } = await initialise({ store, network, ...this.#beginning() });
    this.identity = withBeginning(this.identity, digest);
    this.sourceCosts = costs;
    this.beginWarnings = warnings;
    await this.outer?.anchor();
    await this.#checkMemory();
  }

  async #load(start: Start): Promise<{ folder: string; state: CheckpointState }> {
    const { folder } = start;
    const { config, identity: own } = this;
    const { state, identity } = await checkedStart(start, { config, beginning: this.#beginning(), identity: own });
    this.identity = identity;
    this.#enter(state);
    const { rank } = this.deps.group;
    const folderOfRank = checkpointOfRank(folder, state.local ? rank % state.local.ranks : 0);
    await loadCheckpoint(folderOfRank, this.store, this.network.specs);
    this.outer?.updates(state.local?.changed ?? []);
    this.step = state.step;
    this.sourceCosts = state.source;
    Object.assign(this.totals, state.totals, { flopsLayers: flopsLayersOf(state) });
    this.nonFinite.count = state.nonFiniteSteps;
    this.evaluatedAt = state.evaluated ? state.step : -1;
    this.checkpoints.resumed(start.isBranch ? undefined : folder);
    await this.#checkMemory();
    this.damageWarnings = await start.setAside();
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
      {
        finished: model,
        config: { ...config, accumulation: this.micros.length },
        method: this.method,
        corpus,
        step: Math.max(0, step - 1),
        programs,
        shards: store.shards ? deps.group.size : 1,
      },
    );
  }

  /**
   * The step whose maps fit the weights: the last one, or the next one where its growth is done and no step of the new stage
   * is.
   */
  get trainedStep(): number {
    const { method, stage, step } = this;
    const last = Math.max(0, step - 1);
    return method.stageAt(last).index === stage.index ? last : step;
  }

  /** Whether an evaluation is due when `step` steps are done. */
  evaluationDue(step: number): boolean {
    const every = this.config.evaluateEvery;
    if (every === 0 || this.evaluatedAt === step || this.rounds.isOpen(step)) return false;
    if (step === 0 || step >= lastStep(this.config)) return true;
    return every !== undefined && this.rounds.isDue(every, step);
  }

  async evaluate(): Promise<EvaluationEvent> {
    const { config, deps, step, totals } = this;
    const start = performance.now();
    const trained = this.trainedStep;
    const maps = this.method.evaluationMaps(trained);
    const losses = await evaluateMaps(maps, {
      programs: this.programs,
      corpus: deps.corpus,
      ...this.batchSize,
      limit: config.evaluationBatches,
      gates: evaluationGatesOf(this.method, trained),
      signal: deps.group.size > 1 ? undefined : deps.signal,
      group: deps.group,
    });
    this.evaluatedAt = step;
    const { trainedLayers } = this.stage;
    const { flopsModel, trainMs, tokens } = totals;
    return {
      type: 'evaluation',
      step,
      trainedLayers,
      ...losses,
      flopsModel,
      trainMs,
      tokens,
      ms: performance.now() - start,
    };
  }

  /** The growth at the start of the next step, unless it is already done. */
  async grow(): Promise<TrainEvent | undefined> {
    const { method } = this;
    const { model, corpus } = this.deps;
    const stage = method.stageAt(this.step);
    const plan =
      stage.index === this.stage.index
        ? undefined
        : growthOf(method, this.step, this.stage.trainedLayers, stage.trainedLayers);
    if (!plan) return undefined;
    this.#letGo();
    const next = stageNetwork(model, stage);
    const { batch, seq, seed } = this.config;
    const { group } = this.deps;
    const calibration = await grow(plan, {
      // Ranks whose own loop gives them their batches measure different streams: the first one's counts.
      agree: (factor) => fromFirst(group, async () => factor),
      store: this.store,
      before: this.network,
      after: next,
      seed,
      batch: async () => ({
        shape: corpus.shape(this.batchSize),
        inputs: await corpus.batch(this.#request(this.step, 0)),
      }),
    });
    if (calibration) {
      const flops = calibration.layerPasses * layerFlops(next.model.config, seq) * batch * seq;
      this.totals.flopsModel += flops;
      this.totals.flopsLayers += flops;
      this.totals.flopsExecuted += calibration.flops;
    }
    this.network = next;
    this.programs = this.#programs();
    await this.outer?.anchor();
    await this.checkpoints.checkSame();
    const exchanged = this.counts.stageTraffic;
    this.counts.beginStage();
    return {
      type: 'growth',
      step: this.step,
      from: plan.from,
      to: plan.to,
      parameters: this.parameters,
      ...(calibration && { calibrated: calibration.factor }),
      ...(exchanged && { exchanged }),
    };
  }

  /** Whether `step` can be queued before the outcome of the one before it is known: nothing comes between the two. */
  #mayFollow(step: number): boolean {
    const { method, stage, programs } = this;
    const { store, stop, lookAhead = !store && !stop } = this.deps;
    if (!lookAhead || stop || this.aborted || step >= lastStep(this.config)) return false;
    if (this.#method.decidesNext || method.stageAt(step).index !== stage.index) return false;
    if (this.outer && !this.rounds.isOpen(step)) return false;
    // A program that is still to be compiled would take device time between two runs of the current step.
    return !this.evaluationDue(step) && !this.checkpoints.isDue(step) && programs.has(planOf(method, step));
  }

  /** Whether a step is running whose event was not reported yet. */
  get isAhead(): boolean {
    return this.#steps.isAhead;
  }

  /** One optimizer step. Cancelled by the signal it changes nothing but gradients, which it clears. */
  async train(): Promise<StepEvent> {
    const { plan, learningRate, updated, result } = await this.#steps.next(this.step);
    this.checkpoints.noted(result.note);
    this.step++;
    this.#method.add(result.loss);
    this.outer?.updates(updated);
    const round = await this.rounds.close(this.step);
    this.nonFinite.add(result);
    return this.counts.add({ step: this.step, plan, learningRate, result, round, config: this.network.model.config });
  }

  /** Warnings about a step. @throws ApolloError NON_FINITE when too many in a row were left out. */
  warningOf(event: StepEvent): TrainEvent | undefined {
    if (event.withoutTarget) return this.counts.withoutTarget > 1 ? undefined : withoutTarget(event);
    if (event.applied) return undefined;
    const error = tooManyNonFinite(event, this.config, this.nonFinite, this.checkpoints.lastSaved);
    if (error) throw error;
    return leftOut(event);
  }

  /** Forwards errors, except the one by which the signal cancels work. */
  async unlessAborted<Event>(work: () => Promise<Event>): Promise<Event | undefined> {
    try {
      return await work();
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'ABORT_ERR') throw error;
      this.#groupStopped = this.deps.group.size > 1; // whose work is cancelled by nothing else
      if (this.aborted) return undefined;
      throw error;
    }
  }

  /** Frees the programs of a stage. */
  #letGo(): void {
    this.programs.clear();
    this.optimizer.dispose();
    this.outer?.dispose();
  }

  /**
   * Stops running steps, waits for the checkpoint that is being written, and frees everything, also where that checkpoint
   * fails. @throws what it threw.
   */
  async close(): Promise<void> {
    this.closed = true;
    await this.trainer.stop();
    await this.#steps.drop();
    try {
      await this.checkpoints.close();
    } finally {
      this.#letGo();
      if (!this.deps.store) this.store.dispose();
    }
  }

  /** Closes after an error, which is the one to report: what closing throws would come from it, or say less. */
  async closeAfterError(): Promise<void> {
    await this.close().catch(() => {});
  }
}
