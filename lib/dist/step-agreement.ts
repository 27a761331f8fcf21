/** What ranks that train by themselves exchange in each step: a few numbers, and no gradient. */
import type { RunGroup } from '../engine/run-group.js';
import type { GradientExchange, QueuedExchange, StepShare } from './gradient-exchange.js';

/** How the ranks of a group end a step: they agree whether it is done, and report the same loss. */
export interface StepExchange extends Pick<GradientExchange, 'queue' | 'giveUp'> {
  /** Whether the update is of this rank's gradients alone. */
  readonly isLocal?: boolean;
}

export class StepAgreement implements StepExchange {
  readonly isLocal = true;

  constructor(private readonly exchange: GradientExchange) {}

  queue(_names: readonly string[], share: StepShare, runs: RunGroup): QueuedExchange {
    return this.exchange.queue([], share, runs);
  }

  giveUp(runs: RunGroup): Promise<void> {
    return this.exchange.giveUp(runs);
  }
}
