/**
 * Lets several runs take turns on one machine, a turn being the events up to an evaluation: a machine that becomes slow
 * or fast for a while does so for all of them.
 */

/**
 * The events of all runs with the index of their run, round-robin. After an event for which `endsTurn` is true, it is the next run's turn.
 * When one run fails, or the iteration is left, the others are closed.
 */
export async function* interleave<Event>(
  runs: readonly AsyncGenerator<Event, unknown, void>[],
  endsTurn: (event: Event) => boolean,
): AsyncGenerator<{ readonly run: number; readonly event: Event }, void, void> {
  const live = new Set(runs.keys());
  try {
    while (live.size > 0) {
      for (const run of [...live]) {
        for (;;) {
          const next = await runs[run]!.next();
          if (next.done) {
            live.delete(run);
            break;
          }
          yield { run, event: next.value };
          if (endsTurn(next.value)) break;
        }
      }
    }
  } finally {
    await Promise.allSettled([...live].map((run) => runs[run]!.return(undefined)));
  }
}
