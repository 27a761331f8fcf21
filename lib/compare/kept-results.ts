/** The results of a comparison in its folder: those of an earlier call, and what is written while its runs train. */
import { fromFirst, type Group } from '../dist/index.js';
import { type Analysis, analyse } from '../report/aggregate.js';
import { parseResults, type Results, resultsText } from '../report/results.js';
import type { Comparison, RunEvent } from './comparison.js';

/** The last event of a comparison, also of one that was stopped. */
export interface ResultsEvent {
  /** Tells it from the events of runs, whose type is `'run'`. */
  readonly type: 'results';
  /** Whether all runs went to their end. */
  readonly finished: boolean;
  /** The contents of results.json in the folder. */
  readonly results: Results;
  /** Loss at the end and savings by method. Absent before the reference was evaluated. */
  readonly analysis?: Analysis;
}

/** What {@link compare} reports: an event of one of the runs, and at the end the results. */
export type CompareEvent = RunEvent | ResultsEvent;

/** Name of the results in the folder of a comparison. */
export const resultsFile = 'results.json';

/** Earlier results that the first rank finds, on all ranks: as text, in which a loss that is not finite is null. */
export async function commonResults(
  group: Group,
  path: string,
  find: () => Promise<Results | undefined>,
): Promise<Results | undefined> {
  const text = await fromFirst<string | null>(group, async () => {
    const found = await find();
    return found ? resultsText(found) : null;
  });
  return text === null ? undefined : parseResults(text, path);
}

/**
 * The events of a comparison's runs, and at the end its results. `write` gets the results at the end, and after each
 * evaluation those so far with its step.
 */
export async function* withResults(
  comparison: Comparison,
  write: (results: Results, step?: number) => Promise<void>,
): AsyncGenerator<CompareEvent, void, void> {
  for await (const event of comparison.run()) {
    if (event.event.type === 'evaluation') await write(comparison.results(), event.event.step);
    yield event;
  }
  const results = comparison.results();
  await write(results);
  const { runs, reference } = results;
  const isMeasured = runs.some(({ method, evaluations }) => method === reference && evaluations.length > 0);
  yield {
    type: 'results',
    finished: runs.every(({ finished }) => finished),
    results,
    ...(isMeasured && { analysis: analyse(results) }),
  };
}
