/**
 * The exchange of a step's gradients, queued on the device between the last micro-batch and the update: the ranks agree
 * whether the step is done, and each gradient becomes the mean over all ranks, weighed by their labels.
 */
import { lossBufferShape, lossGuard, lossSum } from '../engine/loss-guard.js';
import { translated } from '../engine/native-error.js';
import type { ParameterStore } from '../engine/parameters.js';
import { RunGroup } from '../engine/run-group.js';
import { ApolloError } from '../errors.js';
import { rankFailed } from './agree.js';
import { allReduceBytes } from './collective-cost.js';
import type { Group } from './group.js';

/** What a rank has of a step, and after the exchange what all ranks have. */
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
  /** What this rank has sent, see allReduceBytes. */
  readonly bytesSent: number;
}

export interface QueuedExchange {
  /** The update behind the exchange belongs to it: it is refused on all ranks where one was stopped or failed, else on none. */
  readonly verdict: RunGroup;
  /** Rejects with ABORT_ERR where a rank was stopped, RANK_FAILED where one failed, GROUP_FAILED, CLOSED. */
  readonly result: Promise<ExchangedStep>;
}

const nothing: StepShare = { labels: 0, microBatches: 0, flops: 0, note: 0 };

export class GradientExchange {
  constructor(
    private readonly group: Group,
    private readonly store: ParameterStore,
  ) {}

  /** Queues the exchange of these parameters' gradients. `runs`: what made them; when it was stopped no rank does the step. */
  queue(names: readonly string[], share: StepShare, runs: RunGroup): QueuedExchange {
    const verdict = new RunGroup();
    const result = this.#run(names, share, runs, verdict);
    result.catch(() => {}); // reported when it is awaited
    return { verdict, result };
  }

  /** Takes part in the exchange of a step that this rank gives up: its `runs` are stopped or have failed. */
  async giveUp(runs: RunGroup): Promise<void> {
    await this.queue([], nothing, runs).result.catch(() => {});
  }

  async #run(names: readonly string[], share: StepShare, runs: RunGroup, verdict: RunGroup): Promise<ExchangedStep> {
    const { labels, microBatches, flops, note } = share;
    const options = { weight: labels, sums: [microBatches, flops, note], stopped: runs.flag, refused: verdict.flag };
    const gradients = this.#gradients(names);
    const exchange = translated(() => this.group.native!.exchange(gradients, options));
    const taken = this.store.takeLoss();
    taken.catch(() => {}); // reported below
    const { weight, sums, stopped, failed } = await exchange;
    if (failed > 0) throw rankFailed();
    if (stopped > 0) throw new ApolloError('ABORT_ERR', 'a rank was stopped, and all of them leave this step out');
    const loss = await taken;
    const bytes = gradients.reduce((sum, buffer) => sum + buffer.bytes, 8 * (3 + sums.length));
    const bytesSent = allReduceBytes(bytes, this.group.size);
    return { labels: weight, microBatches: sums[0]!, flops: sums[1]!, note: sums[2]!, loss, bytesSent };
  }

  /** The buffers of the gradients, the loss's guard and the loss. */
  #gradients(names: readonly string[]) {
    const { store } = this;
    return [
      ...names.map((name) => store.bind('gradient', name, store.spec(name).shape).buffer),
      ...[lossGuard, lossSum].map((name) => store.bind('gradient', name, lossBufferShape).buffer),
    ];
  }
}
