/** The state of one training run and what can be done with it: open, evaluate, save, grow, train a step, close. */
import { fromFirst, GradientExchange, OuterStep, StepAgreement } from '../dist/index.js';
import type { Optimizer } from '../engine/optim/index.js';
import { ParameterStore } from '../engine/parameters.js';
import { FollowedMethod, type SeenLosses } from '../methods/followed.js';
import type { MethodStage, TrainingMethod } from '../methods/method.js';
import { layerFlops, parameterCount } from '../models/index.js';
import { type CheckpointState, loadCheckpoint, saveCheckpoint } from './checkpoint/checkpoint.js';
import { CheckpointClock } from './checkpoint/checkpoint-clock.js';
import { type CheckpointJob, CheckpointWriter } from './checkpoint/checkpoint-writer.js';
import type { SourceCosts } from './checkpoint/model-folder.js';
import { checkpointOfRank, checkpointsOfRank } from './checkpoint/rank-folder.js';
import { giveState } from './checkpoint/sharded-store.js';
import { identityOf, lastStep, type RunIdentity, type TrainConfig, withBeginning } from './config.js';
import { BatchAhead, type BatchRequest, type BatchSize } from './corpus.js';
import { stepFlops } from './cost.js';
import type { RunDependencies } from './dependencies.js';
import { evaluateMaps } from './evaluate.js';
import type { EvaluationEvent, StageTraffic, StepEvent, TrainEvent } from './events.js';
import { grow } from './growth.js';
import { type BeginningOptions, initialise } from './initial.js';
import { checkMemory } from './memory.js';
import { NonFiniteSteps } from './non-finite.js';
import { checkedStart, findCommonStart, type Start } from './opening.js';
import { optimizerOf } from './optimizer.js';
import { outerOptionsOf, Rounds } from './outer.js';
import { RunPrograms } from './programs.js';
import { queueStep, type RunStep } from './queue-step.js';
import { checkSameSettings, checkSameWeights } from './same-run.js';
import { type StageNetwork, stageNetwork } from './stage.js';
import { leftOut, nothingLearnt, tooManyNonFinite, withoutTarget } from './step-warnings.js';
import { Traffic } from './traffic.js';
import { StepStream, Trainer } from './trainer.js';

/** One run: its resources and the few numbers that change from step to step. */
export class Run {
  step = 0;
  network: StageNetwork;
  readonly totals: CheckpointState['totals'] = { tokens: 0, flopsModel: 0, flopsExecuted: 0, trainMs: 0 };
  readonly #traffic = new Traffic();
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
  readonly trainer: Trainer;
  /** Where each rank updates its own weights. */
  readonly outer: OuterStep | undefined;
  readonly #rounds: Rounds;
  readonly #steps: StepStream<RunStep>;
  readonly #checkpoints: CheckpointWriter;
  #clock: CheckpointClock;
  /** Where this rank writes checkpoints: the first one, and those with their own weights. */
  #checkpointDir: string | undefined;
  #method: FollowedMethod;
  /** Of the micro-batches of a step those that this rank runs. */
  readonly micros: readonly number[];
  /** Whether a step of a group was left out because a rank was stopped. */
  #groupStopped = false;
  /** Whether a rank has asked for a checkpoint in the last step that is known. */
  #checkpointAsked = false;

  constructor(
    readonly config: TrainConfig,
    readonly deps: RunDependencies,
  ) {
    const { device, model, method, corpus, objective, group } = deps;
    const { precision } = config;
    this.#method = new FollowedMethod(method);
    this.identity = identityOf(config, model.config, method, corpus.key, objective);
    this.store = deps.store ?? new ParameterStore(device, { precision });
    this.network = stageNetwork(model, method.stageAt(0));
    this.programs = this.#programs();
    this.optimizer = optimizerOf(config, this.store);
    this.nonFinite = new NonFiniteSteps(config.nonFiniteLimit);
    if (config.shardOptimizer && group.native) this.store.shardState(group.native);
    const { exchangePrecision, overlapExchange: overlap } = config;
    const exchange =
      group.size > 1 ? new GradientExchange(group, this.store, { precision: exchangePrecision, overlap }) : undefined;
    const outer = outerOptionsOf(config);
    this.outer = outer && new OuterStep(group, this.store, outer);
    const { syncEvery: every = 1, steps, anneal } = config;
    const stageOf = (step: number) => this.method.stageAt(step).index;
    this.#rounds = new Rounds({ every, end: anneal?.end ?? steps, stageOf }, this.outer);
    this.trainer = new Trainer(this.store, this.optimizer, outer && exchange ? new StepAgreement(exchange) : exchange);
    const own = config.accumulation / group.size;
    this.micros = Array.from({ length: own }, (_, micro) => group.rank * own + micro);
    this.#steps = new StepStream(
      (step) => queueStep(this, step),
      (step) => this.#mayFollow(step),
    );
    this.#checkpoints = new CheckpointWriter(this.store);
    this.#clock = new CheckpointClock(config.checkpointMinutes, 0);
    this.batches = new BatchAhead((step, micro) => corpus.batch(this.#request(step, micro)));
  }

  /** What the ranks have exchanged since the stage began. */
  get stageTraffic(): StageTraffic | undefined {
    return this.#traffic.stage;
  }

  /** Whether the run is stopped. Ranks stop together, after a step that all of them left out, whichever got the signal. */
  get aborted(): boolean {
    if (this.deps.group.size > 1) return this.#groupStopped;
    return this.deps.signal?.aborted ?? false;
  }

  /** Asks all ranks for a checkpoint: the first one's clock is that of all. */
  get note(): number {
    return Number(this.deps.group.rank === 0 && this.#clock.due(this.totals.trainMs));
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
    this.#method = new FollowedMethod(this.deps.method, state.seen);
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
    this.#checkpointDir = await this.#ownDirectory();
    const start = await findCommonStart(group, this.deps);
    const opened = start ? await this.#load(start) : await this.#initialise();
    await this.#checkSame();
    return opened;
  }

  async #ownDirectory(): Promise<string | undefined> {
    const { group, checkpointDir } = this.deps;
    if (!this.outer) return group.rank === 0 ? checkpointDir : undefined;
    const common = await fromFirst(group, async () => checkpointDir);
    return typeof common === 'string' ? checkpointsOfRank(common, group.rank) : undefined;
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
    Object.assign(this.totals, state.totals);
    this.nonFinite.count = state.nonFiniteSteps;
    this.evaluatedAt = state.evaluated ? state.step : -1;
    this.#clock = new CheckpointClock(config.checkpointMinutes, this.totals.trainMs);
    if (!start.isBranch) this.#checkpoints.resumed(folder, this.#position());
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

  /** Whether an evaluation is due when `step` steps are done. */
  evaluationDue(step: number): boolean {
    const every = this.config.evaluateEvery;
    if (every === 0 || this.evaluatedAt === step || this.#rounds.isOpen(step)) return false;
    if (step === 0 || step >= lastStep(this.config)) return true;
    return every !== undefined && this.#rounds.isDue(every, step);
  }

  /** Whether a checkpoint is due when `step` steps are done. */
  checkpointDue(step: number): boolean {
    if (this.#rounds.isOpen(step)) return false;
    const { checkpointEvery: every, keepAt } = this.config;
    const rounds = this.#rounds;
    const bySteps = step > 0 && ((every > 0 && rounds.isDue(every, step)) || rounds.includesOne(keepAt, step));
    return bySteps || (this.deps.group.size > 1 ? this.#checkpointAsked : this.#clock.due(this.totals.trainMs));
  }

  /** @throws ApolloError GROUP_FAILED where ranks have other weights, unless they are within a round. */
  async #checkSame(): Promise<void> {
    if (!this.#rounds.isOpen(this.step)) await checkSameWeights(this.deps.group, this.store, this.step);
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
      ...this.batchSize,
      limit: config.evaluationBatches,
      gates: this.method.evaluationGates?.(trained),
      signal: deps.group.size > 1 ? undefined : deps.signal,
      group: deps.group,
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
      device: { kind, threads, ...(this.deps.group.size > 1 && { ranks: this.deps.group.size }) },
      ...(this.outer && { local: { ranks: this.deps.group.size, changed: [...this.outer.changed] } }),
    };
    const { keepCheckpoints: keep } = this.config;
    const keepAt = this.config.keepAt.map((at) => this.#rounds.endOf(at));
    return {
      step: this.step,
      position: this.#position(),
      write: (view) => saveCheckpoint(directory, view, state, { keep, keepAt }),
    };
  }

  /** Starts a checkpoint, which is written beside training. */
  async save(): Promise<void> {
    const checkpointDir = this.#checkpointDir;
    this.#clock.wrote(this.totals.trainMs);
    this.#checkpointAsked = false;
    await this.#checkSame();
    if (await this.#givesState()) return;
    if (checkpointDir === undefined || this.#checkpoints.isSaved(this.#position())) return;
    await this.#checkpoints.begin(this.#checkpoint(checkpointDir));
  }

  /** Where ranks share the optimizer's state: gives this rank's to the first one, if that writes a checkpoint here. */
  async #givesState(): Promise<boolean> {
    const { group } = this.deps;
    if (!this.store.shards) return false;
    const writes = this.#checkpointDir !== undefined && !this.#checkpoints.isSaved(this.#position());
    const [writers = 0] = await group.sum([Number(writes)]);
    if (group.rank === 0) return false;
    if (writers > 0) await giveState(this.store);
    return true;
  }

  /** Waits for the checkpoint that is being written. */
  async written(): Promise<void> {
    await this.#checkpoints.settled();
  }

  /** Writes the checkpoint of the run's end, unless this position is saved. */
  async saveLast(): Promise<void> {
    const checkpointDir = this.#checkpointDir;
    await this.#checkSame();
    if (await this.#givesState()) return;
    if (checkpointDir !== undefined) await this.#checkpoints.complete(this.#checkpoint(checkpointDir));
  }

  /** Events of the checkpoints that ended since. @throws what is no error of the file system. */
  saved(): TrainEvent[] {
    return this.#checkpoints.events();
  }

  /** The same of the checkpoint of the run's end. @throws what it threw. */
  savedLast(): TrainEvent[] {
    return this.#checkpoints.lastEvents();
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
        shape: corpus.shape(this.batchSize),
        inputs: await corpus.batch(this.#request(this.step, 0)),
      }),
    });
    if (calibration) {
      this.totals.flopsModel += calibration.layerPasses * layerFlops(next.model.config, seq) * batch * seq;
      this.totals.flopsExecuted += calibration.flops;
    }
    this.network = next;
    this.programs = this.#programs();
    await this.outer?.anchor();
    await this.#checkSame();
    const exchanged = this.#traffic.stage;
    this.#traffic.begin();
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
    if (!lookAhead || this.aborted || step >= lastStep(this.config)) return false;
    if (this.#method.decidesNext || method.stageAt(step).index !== stage.index) return false;
    if (this.outer && !this.#rounds.isOpen(step)) return false;
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
    const { plan, lr, updated, result } = await this.#steps.next(this.step);
    const { loss, gradNorm, applied, flops, waitedMs, microBatches, note, exchange } = result;
    this.#checkpointAsked ||= note > 0;
    this.step++;
    this.#method.add(loss);
    this.outer?.updates(updated);
    const round = await this.#rounds.close(this.step);
    const ms = result.ms + round.ms;
    const bytesOfStep = (exchange?.bytes ?? 0) + round.bytesSent;
    this.#stepsHere++;
    if (microBatches === 0) this.stepsWithoutTarget++;
    this.nonFinite.add(result);
    totals.tokens += this.tokensPerStep;
    totals.flopsModel += stepFlops(this.network.model.config, plan, { seq, tokens: this.tokensPerStep }).model;
    totals.flopsExecuted += flops;
    totals.trainMs += ms;
    if (exchange) {
      totals.bytesSent = (totals.bytesSent ?? 0) + bytesOfStep;
      this.#traffic.add(bytesOfStep, this.tokensPerStep);
    }
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
      ...(exchange && {
        bytesSent: totals.bytesSent!,
        bytesPerToken: bytesOfStep / this.tokensPerStep,
        exchangeMs: exchange.busyMs + round.ms,
        exchangeWaitedMs: exchange.uncoveredMs + round.ms,
      }),
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

  /** Stops what is under way, waits for the checkpoint that is being written, and frees all. */
  async close(): Promise<void> {
    await this.trainer.stop();
    await this.#steps.drop();
    await this.#checkpoints.settled();
    this.#letGo();
    if (!this.deps.store) this.store.dispose();
  }
}
