/**
 * The one path from micro-batches to updated weights: pre-training, fine-tuning and loops of others take it. The update is
 * queued right behind the last micro-batch, and the micro-batches of the next step behind that, so the device never waits
 * for JavaScript; loss and norm come one step late.
 */
import type { ExchangedStep, QueuedExchange, StartedExchange, StepExchange } from '../dist/index.js';
import type { Binding } from '../engine/binding.js';
import type { Optimizer, StepOptions } from '../engine/optim/index.js';
import type { ParameterStore } from '../engine/parameters.js';
import type { InputData, Program, RunResult } from '../engine/program.js';
import { RunGroup } from '../engine/run-group.js';

/** One forward and backward pass that adds to the gradients of the store; the program's output `loss` is f32 [1]. */
export interface MicroBatch {
  readonly program: Program;
  readonly inputs: Readonly<Record<string, InputData>>;
  /** Parameters to run on in place of the program's own. */
  readonly binding?: Binding | undefined;
  /** Weight of its loss in that of the step; those of a step sum to 1, on each rank. */
  readonly share: number;
  /** Labels that its loss is the mean over, by which a group weighs its ranks; one rank takes no notice of it. */
  readonly labels?: number | undefined;
  /** No other of the step follows on this rank. Where that is known, a group exchanges gradients during it. */
  readonly last?: boolean | undefined;
}

export interface TrainerStep {
  /** Called once when everything before is queued. Each is taken when the one before it is about to run. */
  readonly microBatches: () => AsyncIterable<MicroBatch>;
  /** Parameters to update, and how. */
  readonly names: readonly string[];
  readonly update: Omit<StepOptions, 'group'>;
  /** A number that is summed over the ranks of a group, by which all of them decide what follows the step. Default: 0. */
  readonly note?: number | undefined;
}

export interface StepOutcome {
  /** Sum of the micro-batches' losses by share; NaN where there was none. */
  readonly loss: number;
  /** Micro-batches that ran. Where there was none there is no update. */
  readonly microBatches: number;
  /** L2 norm of the gradients before clipping. */
  readonly gradNorm: number;
  /** False when loss or norm was not finite, or no micro-batch ran: weights and optimizer are as before. */
  readonly applied: boolean;
  /** Executed FLOPs. */
  readonly flops: number;
  /** From the end of the step before, or when the step was queued if that is later. Compiling its update does not count. */
  readonly ms: number;
  /**
   * For how long the device had nothing to do within the step, and before it where it was queued before the last one was
   * settled.
   */
  readonly waitedMs: number;
  /** Sum of the ranks' notes. */
  readonly note: number;
  /** Traffic of a group of ranks. */
  readonly exchange?: StepTraffic | undefined;
}

export interface StepTraffic {
  /** Bytes of gradients and weights that all ranks together have sent. */
  readonly bytes: number;
  /** For how long this rank exchanged gradients or waited for others, and for how long of that its device waited. */
  readonly busyMs: number;
  readonly uncoveredMs: number;
}

interface Flight {
  /** Settled when the update is in the device's queue, or the step has failed. */
  readonly queued: Promise<void>;
  readonly outcome: Promise<StepOutcome>;
  /** When the outcome was known; 0 before. */
  endedAt: number;
}

const trafficOf = ({ bytes, busyMs, uncoveredMs }: ExchangedStep, ofUpdate = 0): StepTraffic => ({
  bytes: bytes + ofUpdate,
  busyMs,
  uncoveredMs,
});

async function succeeded(flight: Flight | undefined): Promise<boolean> {
  return (
    flight?.outcome.then(
      () => true,
      () => false,
    ) ?? true
  );
}

/** Micro-batches in the device's queue at a time: one runs, the inputs of the next are there. */
const queuedMicroBatches = 2;

export class Trainer {
  #last: Flight | undefined;
  readonly #groups = new Set<RunGroup>();

  constructor(
    readonly store: ParameterStore,
    readonly optimizer: Optimizer,
    /** Exchange of a group of ranks, each of which runs its own micro-batches; loss, FLOPs and their number are then totals. */
    readonly exchange?: StepExchange,
  ) {}

  /**
   * Queues a step behind the steps before, which need not be settled. A step that fails or is cancelled by the signal leaves
   * weights and optimizer as they were and the gradients zero, and so do the steps queued behind it.
   * @throws what programs and optimizer throw; ABORT_ERR.
   */
  queue(step: TrainerStep, signal?: AbortSignal): Promise<StepOutcome> {
    const before = this.#last?.endedAt === 0 ? this.#last : undefined;
    const group = new RunGroup(signal);
    this.#groups.add(group);
    let isQueued = () => {};
    const queued = new Promise<void>((resolve) => {
      isQueued = resolve;
    });
    const outcome = this.#run(step, before, group, isQueued).finally(() => {
      isQueued();
      flight.endedAt = performance.now();
      this.#groups.delete(group);
      group.dispose();
    });
    outcome.catch(() => {}); // reported when it is awaited
    const flight: Flight = { queued, outcome, endedAt: 0 };
    this.#last = flight;
    return outcome;
  }

  /** Stops the steps in progress between two instructions and waits for them; an update that has started is completed. */
  async stop(): Promise<void> {
    for (const group of this.#groups) group.stop();
    await this.#last?.outcome.catch(() => {});
    this.#last = undefined;
  }

  async #run(
    { microBatches, names, update, note = 0 }: TrainerStep,
    before: Flight | undefined,
    group: RunGroup,
    isQueued: () => void,
  ): Promise<StepOutcome> {
    const runs: { readonly share: number; readonly result: Promise<RunResult> }[] = [];
    let started: StartedExchange | undefined;
    let exchange: QueuedExchange | undefined;
    try {
      const prepared = await this.optimizer.prepare(names);
      const began = performance.now();
      await before?.queued;
      let [flops, labels] = [0, 0];
      const { active = () => true } = update;
      const begin = (microBatches: number) =>
        this.exchange?.begin(names.filter(active), { labels, microBatches, flops, note }, group);
      for await (const { program, inputs, binding, share, labels: own = 0, last } of microBatches()) {
        await runs.at(-queuedMicroBatches)?.result;
        flops += program.flops;
        labels += own;
        if (last && this.exchange?.overlaps) started = begin(runs.length + 1);
        const result = program.run(inputs, { group, binding, ...(started && { exchange: started.native }) });
        result.catch(() => {}); // reported when it is awaited
        runs.push({ share, result });
      }
      started ??= begin(runs.length);
      exchange = started?.finish();
      await before?.outcome; // whether it was applied decides the counts of this one
      const shared = this.exchange?.isLocal ? undefined : exchange;
      const hasGradients = runs.length > 0 || (shared && (await shared.result).microBatches > 0);
      const updated = hasGradients ? prepared.run({ ...update, group: exchange?.verdict ?? group }) : undefined;
      updated?.catch(() => {});
      isQueued();
      let loss = runs.length > 0 ? 0 : Number.NaN;
      let waitedMs = 0;
      for (const [i, { share, result }] of runs.entries()) {
        const { outputs, waitedMs: waited } = await result;
        loss += share * (outputs['loss'] as Float32Array)[0]!;
        if (i > 0 || before) waitedMs += waited;
      }
      const own = { loss, microBatches: runs.length, flops, note };
      const exchanged = await exchange?.result;
      const all: Pick<ExchangedStep, keyof typeof own> = exchanged ?? own;
      const after = await updated;
      const since = Math.max(before?.endedAt ?? 0, began);
      return {
        loss: all.microBatches > 0 ? all.loss : Number.NaN,
        microBatches: all.microBatches,
        gradNorm: after?.gradNorm ?? Number.NaN,
        applied: after?.applied ?? all.microBatches > 0, // this rank had no labels, and others had
        flops: all.flops,
        ms: performance.now() - since,
        waitedMs: waitedMs + (after?.waitedMs ?? 0),
        note: all.note,
        ...(exchanged && { exchange: trafficOf(exchanged, after?.bytesSent) }),
      };
    } catch (error) {
      if ((error as { code?: unknown }).code === 'ABORT_ERR') group.stop();
      else group.fail();
      // The other ranks come to the exchange of this step, unless the step before has ended all of them.
      if (started) await (exchange ?? started.finish()).result.catch(() => {});
      else if (await succeeded(before)) await this.exchange?.giveUp(group);
      await Promise.allSettled(runs.map(({ result }) => result));
      await this.store.zeroGradients().catch(() => {}); // of a device that is gone there is nothing to clear
      throw error;
    }
  }
}

/** A step that was queued: what is known of it then, and its outcome. */
export interface QueuedStep {
  readonly outcome: Promise<StepOutcome>;
}

/** Steps one after the other, the next one queued before the outcome of the last is known. */
export class StepStream<Step extends QueuedStep> {
  readonly #begin: (step: number) => Promise<Step>;
  readonly #mayFollow: (step: number) => boolean;
  #ahead: Promise<Step> | undefined;

  /** `begin` queues a step; `mayFollow` says whether it can be queued while the previous one is running. */
  constructor(begin: (step: number) => Promise<Step>, mayFollow: (step: number) => boolean) {
    this.#begin = begin;
    this.#mayFollow = mayFollow;
  }

  /** Whether a step is running whose outcome was not requested. */
  get isAhead(): boolean {
    return this.#ahead !== undefined;
  }

  /** The outcome of `step`, which follows the one before it. */
  async next(step: number): Promise<Step & { readonly result: StepOutcome }> {
    const queued = await this.#take(step);
    if (this.#mayFollow(step + 1)) {
      this.#ahead = this.#begin(step + 1);
      this.#ahead.catch(() => {}); // reported when it is taken
    }
    return { ...queued, result: await queued.outcome };
  }

  /** Waits for the step that is ahead, whose outcome nobody wants. */
  async drop(): Promise<void> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    await ahead?.then(({ outcome }) => outcome).catch(() => {});
  }

  #take(step: number): Promise<Step> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    return ahead ?? this.#begin(step);
  }
}
