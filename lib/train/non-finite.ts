/** Counts steps left out because loss or gradients were not finite; too many in a row end a run. */
import { ApolloError } from '../errors.js';
import type { StepOutcome } from './trainer.js';

export class NonFiniteSteps {
  /** Consecutive ones so far. */
  count: number;

  constructor(
    readonly limit: number,
    count = 0,
  ) {
    this.count = count;
  }

  /** A step without micro-batches was not tried and changes nothing. */
  add({ applied, microBatches }: Pick<StepOutcome, 'applied' | 'microBatches'>): void {
    if (microBatches > 0) this.count = applied ? 0 : this.count + 1;
  }

  /** The error that ends the run, when there were too many. `step` and `advice` are sentences. */
  error(step: string, advice: string): ApolloError | undefined {
    if (this.count < this.limit) return undefined;
    return new ApolloError(
      'NON_FINITE',
      `${step} This was the ${ordinal(this.count)} consecutive step without an update, so the run stops. ${advice} ` +
        'See docs/troubleshooting.md#loss-is-not-finite.',
    );
  }
}

/** @example ordinal(3) // '3rd' */
function ordinal(count: number): string {
  const ending = Math.floor(count / 10) % 10 === 1 ? undefined : ['st', 'nd', 'rd'][(count % 10) - 1];
  return `${count}${ending ?? 'th'}`;
}
