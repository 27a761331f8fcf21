import t from 'tap';
import { atBetterRates } from '../../bench/acceleration/better-rates.js';
import type { Results, RunRecord } from '../../lib/report/results.js';

const run = (method: string, seed: number, loss: number) =>
  ({
    method,
    seed,
    finished: true,
    evaluations: [{ step: 1, lossFull: loss, lossStage: loss }],
  }) as unknown as RunRecord;
const results = (runs: readonly RunRecord[]) => ({ reference: 'a', runs }) as unknown as Results;

t.test('each method is taken at the rate that is best over its seeds, with all of its runs there', (t) => {
  const slow = results([run('a', 1, 3), run('a', 2, 3), run('b', 1, 4), run('b', 2, 4)]);
  const fast = results([run('a', 1, 2), run('a', 2, 5), run('b', 1, 1), run('b', 2, 5)]);
  const { results: merged, rates } = atBetterRates([
    { rate: 0.1, results: slow },
    { rate: 0.2, results: fast },
  ]);
  t.same(
    [...rates],
    [
      ['a', 0.1],
      ['b', 0.2],
    ],
  );
  t.same(merged.runs, [...slow.runs.slice(0, 2), ...fast.runs.slice(2)]);
  t.equal(merged.reference, 'a');
  t.end();
});

t.test('a single comparison stays as it is', (t) => {
  const only = results([run('a', 1, 3), run('b', 1, 4)]);
  t.same(atBetterRates([{ rate: 1, results: only }]).results, only);
  t.end();
});
