/** The exchange in each step between ranks that train separately: a few numbers, and no gradient. */
import type { RunGroup } from '../engine/run-group.js';
import type { GradientExchange, StartedExchange, StepShare } from './gradient-exchange.js';

/** How the ranks of a group end a step: they agree whether it is done, and report the same loss. */
export interface StepExchange extends Pick<GradientExchange, 'begin' | 'giveUp' | 'overlaps'> {
  /** Whether the update is of this rank's gradients alone. */
  readonly isLocal?: boolean;
}

export class StepAgreement implements StepExchange {
  readonly isLocal = true;
  readonly overlaps = false;

  constructor(private readonly exchange: GradientExchange) {}

  begin(_names: readonly string[], share: StepShare, runs: RunGroup): StartedExchange {
    return this.exchange.begin([], share, runs);
  }

  giveUp(runs: RunGroup): Promise<void> {
    return this.exchange.giveUp(runs);
  }
}
