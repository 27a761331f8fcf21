/** Checkpoints of a run: when one is due, what is in it, and which ranks write it. */
import { fromFirst, type OuterStep } from '../dist/index.js';
import type { ParameterStore } from '../engine/parameters.js';
import { type HeldFolder, holdFolder } from '../fs/hold-folder.js';
import { checkWritable } from '../fs/writable.js';
import type { SeenLosses } from '../methods/adaptive.js';
import type { MethodStage, TrainingMethod } from '../methods/method.js';
import { type CheckpointState, saveCheckpoint } from './checkpoint/checkpoint.js';
import { CheckpointClock } from './checkpoint/checkpoint-clock.js';
import type { Kept } from './checkpoint/checkpoint-folder.js';
import { type CheckpointJob, CheckpointWriter } from './checkpoint/checkpoint-writer.js';
import type { SourceCosts } from './checkpoint/model-folder.js';
import { checkpointsOfRank } from './checkpoint/rank-folder.js';
import { removeOlderParts, setNewerPartsAside } from './checkpoint/rank-parts.js';
import { giveState } from './checkpoint/sharded-store.js';
import type { RunIdentity, TrainConfig } from './config.js';
import type { RunDependencies } from './dependencies.js';
import type { TrainEvent } from './events.js';
import { evaluationGatesOf } from './method-answers.js';
import type { NonFiniteSteps } from './non-finite.js';
import type { Rounds } from './outer.js';
import { checkSameWeights } from './same-run.js';

/** What a checkpoint is made of. */
export interface CheckpointSite {
  readonly config: TrainConfig;
  readonly deps: RunDependencies;
  readonly store: ParameterStore;
  readonly outer: OuterStep | undefined;
  readonly rounds: Rounds;
  readonly nonFinite: NonFiniteSteps;
  readonly totals: CheckpointState['totals'];
  /** Steps done. */
  readonly step: number;
  /** That the weights are in. */
  readonly stage: MethodStage;
  /** The step whose maps fit them. */
  readonly trainedStep: number;
  /** As far as the losses so far have decided it, and those losses where it goes by them. */
  readonly method: TrainingMethod;
  readonly seen: SeenLosses | undefined;
  readonly identity: RunIdentity;
  readonly sourceCosts: SourceCosts | undefined;
  /** Last step at which an evaluation was done. */
  readonly evaluatedAt: number;
}

export class RunCheckpoints {
  readonly #writer: CheckpointWriter;
  #clock: CheckpointClock;
  /** On the first rank: no other run writes checkpoints there. */
  #held: HeldFolder | undefined;
  /** Where this rank writes: the first one, and those with their own weights. */
  #directory: string | undefined;
  /** Whether a rank has asked for a checkpoint in the last step that is known. */
  #isAsked = false;

  constructor(private readonly site: CheckpointSite) {
    this.#writer = new CheckpointWriter(site.store);
    this.#clock = new CheckpointClock(site.config.checkpointMinutes, 0);
  }

  /**
   * Takes the folder of the checkpoints for this run, which the first rank does for all, and finds out where this rank writes.
   * @throws ApolloError BUSY when another run has it, FILE_SYSTEM where none could be written.
   */
  async open(): Promise<void> {
    const { deps, outer } = this.site;
    const { group, checkpointDir } = deps;
    const common = await fromFirst(group, async () => {
      if (checkpointDir === undefined) return null;
      await checkWritable(checkpointDir, 'Checkpoints');
      this.#held = await holdFolder(checkpointDir, 'train()', 'The folder of checkpoints');
      return checkpointDir;
    });
    if (common === null) return;
    if (outer) this.#directory = checkpointsOfRank(common, group.rank);
    else if (group.rank === 0) this.#directory = common;
  }

  /** The run is as a checkpoint left it: that in `folder`, where it is the run's own. */
  resumed(folder: string | undefined): void {
    const { config, totals } = this.site;
    this.#clock = new CheckpointClock(config.checkpointMinutes, totals.trainMs);
    if (folder !== undefined) this.#writer.resumed(folder, this.#position());
  }

  /** Sets aside what another rank than the first has of checkpoints after the step at which the run starts. */
  async setNewerAside(): Promise<void> {
    const { deps, step } = this.site;
    if (deps.group.rank > 0 && this.#directory !== undefined) await setNewerPartsAside(this.#directory, step);
  }

  get lastSaved(): string | undefined {
    return this.#writer.lastSaved;
  }

  /** Asks all ranks for a checkpoint: the first one's clock is that of all. */
  get note(): number {
    const { deps, totals } = this.site;
    return Number(deps.group.rank === 0 && this.#clock.due(totals.trainMs));
  }

  /** What the ranks asked for in a step: the sum of their notes. */
  noted(notes: number): void {
    this.#isAsked ||= notes > 0;
  }

  /** Whether one is due when `step` steps are done. */
  isDue(step: number): boolean {
    const { config, deps, rounds, totals } = this.site;
    if (rounds.isOpen(step)) return false;
    const { checkpointEvery: every, keepAt } = config;
    const bySteps = step > 0 && ((every > 0 && rounds.isDue(every, step)) || rounds.includesOne(keepAt, step));
    return bySteps || (deps.group.size > 1 ? this.#isAsked : this.#clock.due(totals.trainMs));
  }

  /** @throws ApolloError GROUP_FAILED where ranks have other weights, unless they are within a round. */
  async checkSame(): Promise<void> {
    const { deps, rounds, store, step } = this.site;
    if (!rounds.isOpen(step)) await checkSameWeights(deps.group, store, step);
  }

  /** Starts one, which is written in parallel to training. */
  async save(): Promise<void> {
    this.#clock.wrote(this.site.totals.trainMs);
    this.#isAsked = false;
    await this.checkSame();
    await this.#removeOlderParts();
    if (await this.#givesState()) return;
    if (this.#directory === undefined || this.#writer.isSaved(this.#position())) return;
    await this.#writer.begin(this.#job(this.#directory));
  }

  /** Writes that of the run's end, unless this position is saved. */
  async saveLast(): Promise<void> {
    await this.checkSame();
    if (await this.#givesState()) return;
    if (this.#directory !== undefined) await this.#writer.complete(this.#job(this.#directory));
    await this.#removeOlderParts();
  }

  /** Writes one of what the store holds now, which its owner may have changed since this position was saved. */
  async saveNow(): Promise<void> {
    this.#writer.outdated();
    await this.saveLast();
  }

  /** Waits for the one that is being written. */
  async written(): Promise<void> {
    await this.#writer.settled();
  }

  /** Does the same and gives the folder free; one that was made for the run and is still empty is removed. */
  async close(): Promise<void> {
    try {
      await this.written();
    } finally {
      await this.#held?.undo([]);
    }
  }

  /** Events of those that ended since. @throws what is no error of the file system. */
  events(): TrainEvent[] {
    return this.#writer.events();
  }

  /** The same of that of the run's end. @throws what it threw. */
  lastEvents(): TrainEvent[] {
    return this.#writer.lastEvents();
  }

  #position(): string {
    return `${this.site.step}/${this.site.stage.index}`;
  }

  #job(directory: string): CheckpointJob {
    const state = this.#state();
    const kept = this.#isInParts ? { keep: Number.POSITIVE_INFINITY } : this.#kept;
    return {
      step: this.site.step,
      position: this.#position(),
      write: (view) => saveCheckpoint(directory, view, state, kept),
    };
  }

  get #kept(): Kept {
    const { config, rounds } = this.site;
    return { keep: config.keepCheckpoints, keepAt: config.keepAt.map((at) => rounds.endOf(at)) };
  }

  /** Whether each of several ranks writes its own weights. */
  get #isInParts(): boolean {
    return this.site.outer !== undefined && this.site.deps.group.size > 1;
  }

  /**
   * Removes older checkpoints in parts when the one before this moment is written on all ranks. Only here can the ranks agree
   * on that: they write in parallel to training, whose collectives have their own order.
   */
  async #removeOlderParts(): Promise<void> {
    const { deps, step } = this.site;
    if (!this.#isInParts || this.#directory === undefined) return;
    await this.#writer.settled();
    await removeOlderParts(deps.group, this.#directory, this.#kept).catch((error: unknown) =>
      this.#writer.failed(step, error),
    );
  }

  #state() {
    const { deps, method, outer, seen, sourceCosts, step, trainedStep } = this.site;
    const { kind, threads } = deps.device.info();
    const ranks = deps.group.size;
    const { index, trainedLayers, shape, reparameterisation } = this.site.stage;
    const gates = evaluationGatesOf(method, trainedStep);
    return {
      step,
      stage: { index, trainedLayers, ...(shape && { shape }), ...(reparameterisation && { reparameterised: true }) },
      ...(sourceCosts && { source: sourceCosts }),
      layerMap: [...method.evaluationMaps(trainedStep).full],
      ...(gates && { gates: { ...gates } }),
      identity: this.site.identity,
      totals: { ...this.site.totals },
      nonFiniteSteps: this.site.nonFinite.count,
      ...(seen && { seen: { ...seen, means: [...seen.means] } }),
      evaluated: this.site.evaluatedAt === step,
      device: { kind, threads, ...(ranks > 1 && { ranks }) },
      ...(outer && { local: { ranks, changed: [...outer.changed] } }),
    };
  }

  /** Where ranks share the optimizer's state: gives this rank's to the first one, if that writes a checkpoint here. */
  async #givesState(): Promise<boolean> {
    const { deps, store } = this.site;
    if (!store.shards) return false;
    const writes = this.#directory !== undefined && !this.#writer.isSaved(this.#position());
    const [writers = 0] = await deps.group.sum([Number(writes)]);
    if (deps.group.rank === 0) return false;
    if (writers > 0) await giveState(store);
    return true;
  }
}
