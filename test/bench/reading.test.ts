import t from 'tap';
import { equalFlopsTable, honestReading, lossAt, savingsTable } from '../../bench/acceleration/reading.js';
import { distance } from '../../bench/acceleration/scales.js';
import { preset } from '../../lib/models/index.js';
import { analyse } from '../../lib/report/aggregate.js';
import type { Results } from '../../lib/report/results.js';

/** A run whose FLOPs rise by 10 (all costs alike, time twice as much) and whose losses are given. */
const run = (method: string, seed: number, losses: readonly number[], source?: number) => ({
  method,
  seed,
  finished: true,
  stages: [],
  evaluations: losses.map((lossFull, i) => ({
    step: i,
    tokens: i,
    flopsModel: 10 * i,
    flopsLayers: 10 * i,
    flopsExecuted: 10 * i,
    trainMs: method === 'slow' ? 12 * i : 10 * i,
    lossFull,
    lossStage: lossFull,
  })),
  ...(source && { source: { flopsModel: source, flopsLayers: source, flopsExecuted: source, trainMs: source } }),
});
const results: Results = {
  format: 'apollo-lm/results/1',
  created: '',
  settings: {},
  layers: 12,
  totalSteps: 4,
  reference: 'scratch',
  runs: [
    run('scratch', 1, [9, 7, 5, 4, 4, 4]),
    run('scratch', 2, [9, 7, 5, 4, 4, 4]),
    run('slow', 1, [9, 4, 4, 4, 4, 4]),
    run('slow', 2, [9, 4, 4, 4, 4, 4]),
    run('grown', 1, [9, 8, 4, 4, 4, 4], 10),
    run('grown', 2, [9, 8, 4, 4, 4, 4], 10),
    run('never', 1, [9, 8, 7, 6, 5, 4.5]),
    run('never', 2, [9, 8, 7, 6, 5, 4.5]),
  ],
};
const analysis = analyse(results);

t.test('the loss of a run at any FLOPs, linear between evaluations', (t) => {
  const falling = run('a', 1, [8, 6, 4, 2]);
  t.equal(lossAt(falling, 0), 8);
  t.equal(lossAt(falling, 15), 5);
  t.equal(lossAt(falling, 30), 2);
  t.equal(lossAt(falling, 31), undefined);
  t.end();
});

t.test('tables beside the paper', (t) => {
  const table = savingsTable(analysis, { slow: { flops: 41.6 } });
  // The target is 4; the median over three neighbours moves the crossing of "slow" nowhere: 1 of 5 evaluations, 80 %.
  t.match(table, /\| slow \| 41\.6 % \| 80\.0 ± 0\.0 % \| 80\.0 ± 0\.0 % \| 76\.0 ± 0\.0 % \| 4\.0 points \| 4\.0000/);
  t.match(table, /\| grown \| - \| 60\.0 ± 0\.0 % /);
  t.match(table, /\| grown, small model charged \| - \| 40\.0 ± 0\.0 % /);
  t.match(table, /\| never \| - \| not reached, gap 0\.500 \| - /);
  t.notMatch(table, /\| scratch/);
  t.match(equalFlopsTable(results, analysis), /\| scratch \| 8\.000 ± 0\.000 /); // at 5 of 50: half way from 9 to 7
  t.end();
});

t.test('the reading says what the numbers say', (t) => {
  const text = honestReading(results, analysis);
  t.match(text, /^2 of 3 methods reach .* most is saved by slow, 80\.0 %/);
  t.match(text, /At half of its FLOPs slow, grown are ahead of it\./); // at 25: scratch 4.5, both 4, never 6.5
  t.match(text, /varies by 0\.0000/);
  t.end();
});

t.test('how far a scale is from the paper', (t) => {
  t.match(
    distance(preset('bert-base'), 40 * 5.22e9, 'bert-base'),
    /^110 M parameters \(as many parameters .* \(as many tokens\)$/,
  );
  t.match(
    distance(preset('gpt-small'), 5.39e9, 'gpt-base'),
    /^64\.1 M parameters \(1\/2 of the .* \(1\/35 of the tokens\)$/,
  );
  t.end();
});
