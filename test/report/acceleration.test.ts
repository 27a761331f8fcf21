import t from 'tap';
import {
  crossing,
  finalLoss,
  runningMedian,
  runningMinimum,
  savings,
  totalCosts,
} from '../../lib/report/acceleration.js';
import { curve } from './curves.js';

t.test(
  'the worked example: losses 3.10 and 3.00 at 1.0e15 and 1.2e15, target 3.04, Scratch 2.0e15: 44 % saved',
  async (t) => {
    const run = curve([
      [0.8e15, 3.2],
      [1.0e15, 3.1],
      [1.2e15, 3.0],
      [1.4e15, 2.95],
    ]);
    const met = crossing(run, 3.04);
    t.ok(met.reached);
    t.ok(Math.abs(met.costs.flopsModel - 1.12e15) < 1e3);
    const scratch = totalCosts(curve([[2.0e15, 3.04]]));
    t.ok(Math.abs(savings(met.costs, scratch).flopsModel - 0.44) < 1e-12);
  },
);

t.test('every cost and the step are interpolated at the same place', async (t) => {
  const met = crossing(
    curve([
      [10, 4],
      [20, 2],
    ]),
    3.5,
  );
  t.ok(met.reached);
  t.same(met.costs, { flopsModel: 12.5, flopsLayers: 6.25, flopsExecuted: 25, trainMs: 125 });
  t.equal(met.reached && met.step, 125);
});

t.test('a run above the target is not reached, with the gap and all that it spent', async (t) => {
  const met = crossing(
    curve([
      [1, 3],
      [2, 2.75],
      [3, 2.5],
    ]),
    2.25,
  );
  t.notOk(met.reached);
  t.equal(!met.reached && met.gap, 0.25);
  t.equal(met.costs.flopsModel, 3);
});

t.test('a loss equal to the target counts as reached, at that evaluation', async (t) => {
  const plateau = curve([
    [1, 3],
    [2, 2],
    [3, 2],
    [4, 2],
  ]);
  t.equal(crossing(plateau, 2).costs.flopsModel, 2);
  t.equal(crossing(curve([[5, 2]]), 2).costs.flopsModel, 5, 'already at the first evaluation');
});

t.test('a single lucky evaluation is no crossing', async (t) => {
  const noisy = curve([
    [1, 3.0],
    [2, 2.9],
    [3, 2.0],
    [4, 2.8],
    [5, 2.7],
    [6, 2.1],
    [7, 2.0],
  ]);
  // Medians of three: 3.0 2.9 2.8 2.7 2.7 2.1 2.0; 2.4 is half way from 2.7 to 2.1, between costs 5 and 6.
  const met = crossing(noisy, 2.4);
  t.ok(met.reached);
  t.ok(Math.abs(met.costs.flopsModel - 5.5) < 1e-12);
});

t.test('a rise after the crossing does not move it', async (t) => {
  const spiked = curve([
    [1, 3],
    [2, 2],
    [3, 2],
    [4, 5],
    [5, 5],
    [6, 1],
  ]);
  t.equal(crossing(spiked, 2.5).costs.flopsModel, 1.5);
});

t.test('smoothing leaves a falling curve as it is', async (t) => {
  const falling = [9, 7, 6.5, 6, 4, 1];
  t.same(runningMinimum(runningMedian(falling, 3)), falling);
  t.same(runningMedian(falling, 5), falling);
  t.same(runningMedian([3], 3), [3]);
  t.throws(() => runningMedian([1, 2], 2), { code: 'BAD_ARGUMENT' });
});

t.test('the final loss is the mean of the last three evaluations', async (t) => {
  const run = curve([
    [1, 9],
    [2, 3],
    [3, 2],
    [4, 4],
  ]);
  t.equal(finalLoss(run), 3);
  t.equal(finalLoss(run.slice(0, 2)), 6);
  t.equal(finalLoss(run, 1), 4);
  t.throws(() => finalLoss([]), { code: 'BAD_ARGUMENT' });
});

t.test('the untrained model has no part in the final loss, unless there is nothing else', async (t) => {
  const points = curve([
    [0, 6],
    [1, 5],
    [2, 4],
  ]);
  t.equal(finalLoss(points), 4.5);
  t.equal(finalLoss(points.slice(0, 1)), 6);
});

t.test('an evaluation without a finite loss is left out of the crossing', async (t) => {
  const points = curve([
    [1, 7],
    [2, 5],
    [3, Number.NaN],
    [4, 3],
    [5, 3],
  ]);
  const met = crossing(points, 4);
  t.match(met, { reached: true, step: 30, costs: { flopsModel: 3 } });
  const none = crossing(curve([[1, Number.NaN]]), 4);
  t.match(none, { reached: false, costs: { flopsModel: 1 } });
  t.ok(Number.isNaN((none as { gap: number }).gap));
});
