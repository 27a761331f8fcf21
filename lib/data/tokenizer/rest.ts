/** Pauses of long work on the main thread, so that the event loop goes on and a signal is heard. */
import { setImmediate } from 'node:timers/promises';

/** Milliseconds between two pauses. */
const everyMs = 30;

/**
 * An `onMerge` that pauses at the first merge and then about every 30 ms: `report` is told how far the work is, and after the
 * pause `check` may throw to end it.
 */
export function resting(
  report: (done: number) => void,
  check: () => void,
): (done: number) => Promise<void> | undefined {
  let restedMs = Number.NEGATIVE_INFINITY;
  const rest = async () => {
    await setImmediate();
    restedMs = performance.now();
    check();
  };
  return (done) => {
    if (performance.now() - restedMs < everyMs) return undefined;
    report(done);
    return rest();
  };
}
