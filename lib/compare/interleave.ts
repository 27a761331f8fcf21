/**
 * Lets several runs take turns on one machine, a turn being the events up to an evaluation: a machine that becomes slow
 * or fast for a while does so for all of them.
 */

interface Turns<Event> {
  /** Whether it is the next run's turn after this event. */
  readonly endsTurn: (event: Event) => boolean;
  /** Whether a run whose first turn it is may start; else it is left out. Default: always. */
  readonly mayStart?: () => boolean;
}

/**
 * The events of all runs with the index of their run, round-robin. When one run fails, or the iteration is left, the others
 * are closed.
 */
export async function* interleave<Event>(
  runs: readonly AsyncGenerator<Event, unknown, void>[],
  { endsTurn, mayStart = () => true }: Turns<Event>,
): AsyncGenerator<{ readonly run: number; readonly event: Event }, void, void> {
  const live = new Set(runs.keys());
  const started = new Set<number>();
  try {
    while (live.size > 0) {
      for (const run of [...live]) {
        if (!started.has(run) && !mayStart()) {
          live.delete(run);
          continue;
        }
        started.add(run);
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
