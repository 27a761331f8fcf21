import { fail } from 'node:assert/strict';
import t from 'tap';
import { commonResults } from '../../lib/compare/kept-results.js';
import type { Group } from '../../lib/dist/index.js';
import { analyse } from '../../lib/report/index.js';
import type { Results } from '../../lib/report/results.js';

const costs = { tokens: 0, flopsModel: 0, flopsLayers: 0, flopsExecuted: 0, trainMs: 0, lossStage: 3 };
const results: Results = {
  format: 'apollo-lm/results/1',
  ...{ created: '', settings: {}, layers: 2, totalSteps: 2, reference: 'scratch' },
  runs: ['scratch', 'apollo'].map((method) => ({
    ...{ method, seed: 42, finished: true, stages: [] },
    evaluations: [
      { ...costs, step: 0, lossFull: 3 },
      { ...costs, step: 2, flopsModel: 2, lossFull: method === 'scratch' ? 2 : Number.NaN },
    ],
  })),
};

t.test('all ranks have the results of the first, with losses that are not finite', async (t) => {
  let sent = '';
  const of = (rank: number): Group => ({
    ...{ rank, size: 2, host: 'here', close: async () => {} },
    sum: async (values) => values,
    broadcast: async (text) => {
      if (rank === 0) sent = text;
      return sent;
    },
  });
  t.same(await commonResults(of(0), 'results.json', async () => results), results);
  const other = await commonResults(of(1), 'results.json', async () => fail('the first rank alone reads'));
  t.same(other, results);
  t.ok(Number.isNaN(other!.runs[1]!.evaluations[1]!.lossFull));
  t.equal(analyse(other!).methods.length, 2);
  await commonResults(of(0), 'results.json', async () => undefined);
  t.equal(await commonResults(of(1), 'results.json', async () => undefined), undefined);
});
