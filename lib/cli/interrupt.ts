/** Ways to stop a command cleanly: Ctrl-C and its like once (twice to leave at once), or a reader of stdout that has gone. */
import { ApolloError } from '../errors.js';
import type { CommandIo } from './io.js';
import { isClosed } from './output.js';

/** Exit code of a command that was stopped by a signal, as shells know it: 128 + SIGINT. */
export const interruptedExitCode = 130;

/** Exit code of a run that was stopped because nobody reads its output: 128 + SIGPIPE. */
export const closedExitCode = 141;

/** A terminal and npm both pass one Ctrl-C on; what comes this soon after the first is its echo. */
const echoMs = 300;

const closed = new ApolloError('ABORT_ERR', 'The reader of stdout has closed it.');

/** Whether the command was stopped because nobody reads its output. */
export const stoppedByReader = (signal: AbortSignal): boolean => signal.aborted && signal.reason === closed;

/** Exit code of a command that `signal` has stopped. */
export function stoppedExitCode(signal: AbortSignal): number {
  return stoppedByReader(signal) ? closedExitCode : interruptedExitCode;
}

/**
 * Runs `work` with a signal that the first SIGINT, SIGTERM or SIGHUP aborts, and a closed stdout as well. A second SIGINT or
 * SIGTERM ends the process; a second SIGHUP does not, since a terminal that closes may send several. `onFirst` receives the
 * first one, and whether it was the reader of stdout, to say what happens now.
 */
export async function interruptible<Result>(
  io: CommandIo,
  onFirst: (byReader: boolean) => void,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const controller = new AbortController();
  const { signal } = controller;
  let firstMs = Number.NEGATIVE_INFINITY;
  const stop = (reason?: ApolloError) => {
    controller.abort(reason);
    onFirst(reason !== undefined);
  };
  const offSignals = io.onInterrupt((name) => {
    if (signal.aborted) {
      if (name !== 'SIGHUP' && io.now() - firstMs >= echoMs) io.exit(interruptedExitCode);
      return;
    }
    firstMs = io.now();
    stop();
  });
  const offOutput = io.stdout.onLost?.(() => {
    if (isClosed(io.stdout) && !signal.aborted) stop(closed);
  });
  try {
    return await work(signal);
  } finally {
    offSignals();
    offOutput?.();
  }
}
