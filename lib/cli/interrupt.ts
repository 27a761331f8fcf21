/** Ctrl-C: once to stop cleanly, twice to leave at once. */
import type { CommandIo } from './io.js';

/** Exit code of a run that was stopped, as shells know it: 128 + SIGINT. */
export const interruptedExitCode = 130;

/** A terminal and npm both pass one Ctrl-C on; what comes this soon after the first is its echo. */
const echoMs = 300;

/**
 * Runs `work` with a signal that the first Ctrl-C aborts; the second ends the process.
 * `onFirst` is told of the first one, to say what happens now.
 */
export async function interruptible<Result>(
  io: CommandIo,
  onFirst: () => void,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const controller = new AbortController();
  let firstMs = 0;
  const release = io.onInterrupt(() => {
    if (controller.signal.aborted) {
      if (io.now() - firstMs >= echoMs) io.exit(interruptedExitCode);
      return;
    }
    firstMs = io.now();
    controller.abort();
    onFirst();
  });
  try {
    return await work(controller.signal);
  } finally {
    release();
  }
}
