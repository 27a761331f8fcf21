/** How work on a corpus is stopped. */
import { ApolloError } from '../../errors.js';

/** @throws ApolloError ABORT_ERR when the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new ApolloError('ABORT_ERR', 'Preparing the corpus was cancelled.', { cause: signal.reason });
}
