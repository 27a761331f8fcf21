/**
 * The exchange of a step's gradients, queued on the device around the last micro-batch: the ranks agree whether the step is
 * done, and each gradient becomes the mean over all ranks, weighed by their labels, as soon as the micro-batch adds no more
 * to it. Where ranks share the optimizer's state, each gets the mean of its part.
 */
import { lossBufferShape, lossGuard, lossSum } from '../engine/loss-guard.js';
import type { NativeExchange, WirePrecision } from '../engine/native.js';
import { translated } from '../engine/native-error.js';
import type { ParameterStore } from '../engine/parameters.js';
import { RunGroup } from '../engine/run-group.js';
import { ApolloError } from '../errors.js';
import { rankFailed } from './agree.js';
import { type Group, nativeGroupOf } from './group.js';

/** Totals of one rank in a step, and after the exchange those of all ranks. */
export interface StepShare {
  /** By which the mean gradients and losses of the ranks are weighed. */
  readonly labels: number;
  readonly microBatches: number;
  readonly flops: number;
  /** A number of the loop's own, see TrainerStep.note. */
  readonly note: number;
}

export interface ExchangedStep extends StepShare {
  /** The mean over all labels. */
  readonly loss: number;
  /** Bytes of gradients that all ranks together have sent. */
  readonly bytes: number;
  /** For how long this rank exchanged or waited for others, and for how long of that its device waited. */
  readonly busyMs: number;
  readonly uncoveredMs: number;
}

export interface QueuedExchange {
  /** The update behind the exchange belongs to it: it is refused on all ranks where one was stopped or failed, else on none. */
  readonly verdict: RunGroup;
  /** Rejects with ABORT_ERR where a rank was stopped, RANK_FAILED where one failed, GROUP_FAILED, CLOSED. */
  readonly result: Promise<ExchangedStep>;
}

/** An exchange that waits for its gradients. */
export interface StartedExchange {
  /** For the run that is the last one to add to them. */
  readonly native: NativeExchange;
  /** To be called when that run is queued, or will not be. */
  finish(): QueuedExchange;
}

export interface ExchangeOptions {
  /** How gradients travel. */
  readonly precision: WirePrecision;
  /** Whether gradients are exchanged during the backward pass. */
  readonly overlap: boolean;
}

const nothing: StepShare = { labels: 0, microBatches: 0, flops: 0, note: 0 };

export class GradientExchange {
  /** Whether the exchange starts before the last micro-batch. */
  readonly overlaps: boolean;
  readonly #precision: WirePrecision;
  /** The run group of the exchange that was queued last. */
  #last = new RunGroup();

  constructor(
    private readonly group: Group,
    private readonly store: ParameterStore,
    { precision, overlap }: ExchangeOptions = { precision: 'f32', overlap: true },
  ) {
    this.#precision = precision;
    this.overlaps = overlap;
  }

  /**
   * Queues the start of the exchange of these parameters' gradients, in front of the run that adds to them last.
   * `runs`: what makes them; when it is stopped no rank does the step.
   */
  begin(names: readonly string[], share: StepShare, runs: RunGroup): StartedExchange {
    const { store } = this;
    const { shards } = store;
    const verdict = new RunGroup();
    const { labels, microBatches, flops, note } = share;
    const order = [...names].reverse(); // about that of a backward pass
    const native = nativeGroupOf(this.group)!.exchange(
      order.map((name) => store.bind('gradient', name, store.spec(name).shape).buffer),
      {
        shared: [lossGuard, lossSum].map((name) => store.bind('gradient', name, lossBufferShape).buffer),
        ...(shards && { bounds: order.map((name) => shards.bounds(name)) }),
        precision: this.#precision,
        weight: labels,
        sums: [microBatches, flops, note],
        stopped: runs.flag,
        refused: verdict.flag,
        before: this.#last.flag,
      },
    );
    this.#last = verdict;
    const finish = () => {
      const result = this.#finish(native);
      result.catch(() => {}); // reported when it is awaited
      return { verdict, result };
    };
    return { native, finish };
  }

  /** Takes part in the exchange of a step that this rank gives up: its `runs` are stopped or have failed. */
  async giveUp(runs: RunGroup): Promise<void> {
    await this.begin([], nothing, runs)
      .finish()
      .result.catch(() => {});
  }

  async #finish(native: NativeExchange): Promise<ExchangedStep> {
    const exchange = translated(() => native.finish());
    const taken = this.store.takeLoss();
    taken.catch(() => {}); // reported below
    const { weight, sums, stopped, failed, bytes, busyMs, uncoveredMs } = await exchange;
    if (failed > 0) throw rankFailed();
    if (stopped > 0) throw new ApolloError('ABORT_ERR', 'a rank was stopped, so all ranks skip this step');
    const loss = await taken;
    const [microBatches, flops, note] = sums as [number, number, number];
    return { labels: weight, microBatches, flops, note, loss, bytes, busyMs, uncoveredMs };
  }
}
