import t from 'tap';
import {
  type AnnealedRun,
  annealedRuns,
  bestRate,
  flopsFor,
  frontier,
  frontierSavings,
} from '../../bench/acceleration/annealed.js';
import type { Results } from '../../lib/report/results.js';

const run = (method: string, seed: number, steps: number, rate: number, loss: number, flops = steps): AnnealedRun => ({
  method,
  seed,
  steps,
  rate,
  loss,
  flops,
});

t.test('a method is shown, per length, at the rate that is best over its seeds', (t) => {
  const runs = [
    run('a', 1, 100, 1, 5),
    run('a', 2, 100, 1, 5),
    run('a', 1, 100, 2, 3),
    run('a', 2, 100, 2, 6),
    run('a', 1, 200, 1, 3),
    run('a', 1, 200, 2, 4),
    run('b', 1, 100, 1, 1),
  ];
  t.equal(bestRate(runs.slice(0, 4)), 2);
  t.same(
    frontier(runs, 'a').map(({ steps, rate, seed }) => [steps, rate, seed]),
    [
      [100, 2, 1],
      [100, 2, 2],
      [200, 1, 1],
    ],
  );
  t.end();
});

t.test('the FLOPs for a loss are found between two runs, on a logarithmic scale, and never beyond them', (t) => {
  const points = [run('a', 1, 4, 1, 2), run('a', 1, 1, 1, 4)];
  t.same(flopsFor(points, 3), { kind: 'between', flops: 2 });
  t.same(flopsFor(points, 4), { kind: 'less', flops: 1 });
  t.same(flopsFor(points, 1.9), { kind: 'more', flops: 4 });
  t.same(flopsFor([run('a', 1, 1, 1, 4), run('a', 1, 2, 1, 5), run('a', 1, 4, 1, 3)], 4.5), { kind: 'less', flops: 1 });
  t.end();
});

t.test('savings are taken seed by seed against the reference of the same seed', (t) => {
  const runs = [
    run('scratch', 1, 100, 1, 4),
    run('scratch', 2, 100, 1, 5),
    run('scratch', 1, 400, 1, 2),
    run('scratch', 2, 400, 1, 3),
    run('a', 1, 100, 1, 4, 50),
    run('a', 2, 100, 1, 6, 50),
    run('a', 1, 400, 1, 2.5, 200),
    run('a', 2, 400, 1, 2, 200),
  ];
  const [first, second] = frontierSavings(runs, 'a', 'scratch');
  t.equal(first?.steps, 100);
  // Seed 1 is at 4 with its shortest run; seed 2 comes to 5 a quarter of the way from 6 to 2, on a logarithmic scale.
  t.same(first?.others, ['less']);
  t.ok(Math.abs((first?.savings[0] as number) - (1 - (50 * 4 ** 0.25) / 100)) < 1e-12);
  // Seed 1 stays above 2; seed 2 comes to 3 after three quarters.
  t.same(second?.others, ['more']);
  t.ok(Math.abs((second?.savings[0] as number) - (1 - (50 * 4 ** 0.75) / 400)) < 1e-12);
  t.end();
});

t.test('only runs that went to their end count, with their last evaluation', (t) => {
  const point = (step: number, lossFull: number) => ({
    step,
    tokens: step,
    flopsModel: 10 * step,
    flopsLayers: 0,
    flopsExecuted: 0,
    trainMs: 0,
    lossFull,
    lossStage: lossFull,
  });
  const results = {
    totalSteps: 8,
    runs: [
      { method: 'a', seed: 1, finished: true, stages: [], evaluations: [point(0, 9), point(8, 3)] },
      { method: 'a', seed: 2, finished: false, stages: [], evaluations: [point(0, 9)] },
    ],
  } as unknown as Results;
  t.same(annealedRuns(results, 0.5), [{ method: 'a', seed: 1, steps: 8, rate: 0.5, loss: 3, flops: 80 }]);
  t.end();
});
