import t from 'tap';
import { curveBoundaries } from '../../lib/growth/curve.js';

const rule = { window: 10, costs: [1, 2], latest: [500], margin: 1 };

t.test(
  'a stage ends when a step of it buys less for its cost than the best of its steps would buy in the next',
  (t) => {
    // Drops over two windows: 2, 1.1, 0.15. The next stage costs twice as much, so it is worth it below half of 2.
    t.same(curveBoundaries([9, 8, 7, 6.9], rule), [500]);
    t.same(curveBoundaries([9, 8, 7, 6.9, 6.85], rule), [50]);
    t.same(curveBoundaries([9, 8, 7, 6.9, 6.85], { ...rule, margin: 0.05 }), [500]);
    t.same(curveBoundaries([9, 8, 7, 6.9, 6.85], { ...rule, margin: 1.2 }), [40]);
    // In a next stage that costs next to nothing more, any slackening is reason enough.
    t.same(curveBoundaries([9, 8, 7, 6.1], { ...rule, costs: [1, 1.01] }), [40]);
    // A loss that rises buys nothing.
    t.same(curveBoundaries([9, 8, 7, 8, 9], rule), [40]);
    t.end();
  },
);

t.test('every stage is judged by its own windows alone', (t) => {
  const three = { window: 10, costs: [1, 2, 3], latest: [400, 500], margin: 1 };
  const first = [9, 8, 7, 6.9, 6.85];
  t.same(curveBoundaries(first, three), [50, 500]);
  // The second stage begins at step 50. Its drops over two windows: 2, then 1.2, which is less than two thirds of it.
  t.same(curveBoundaries([...first, 6.8, 5.8, 4.8], three), [50, 500]);
  t.same(curveBoundaries([...first, 6.8, 5.8, 4.8, 4.6], three), [50, 90]);
  t.end();
});

t.test('the latest ends hold, and windows across them are nobody’s', (t) => {
  const three = { window: 10, costs: [1, 2, 3], latest: [25, 64], margin: 1 };
  const falling = Array.from({ length: 20 }, (_, index) => 100 - index);
  t.same(curveBoundaries(falling, three), [25, 64]);
  t.same(curveBoundaries([], three), [25, 64]);
  // Windows 3, 4 and 5 are in the second stage: a fall by 1 and then none. Window 5 ends at 60, before the latest.
  t.same(curveBoundaries([9, 8, 7, 6, 5, 5], three), [25, 64], 'one drop is its own best');
  t.same(curveBoundaries([9, 8, 7, 6, 5, 5, 5], { ...three, latest: [25, 94] }), [25, 70]);
  t.end();
});

t.test('what is decided stays so with more windows', (t) => {
  const means = Array.from({ length: 60 }, (_, index) => 5 + 4 / (1 + index) + 0.05 * Math.sin(7 * index));
  const three = { window: 5, costs: [1, 1.5, 2], latest: [150, 250], margin: 1 };
  const final = curveBoundaries(means, three);
  t.ok((final[0] as number) < 150 && (final[1] as number) < 250, String(final));
  for (let seen = 0; seen <= means.length; seen++) {
    curveBoundaries(means.slice(0, seen), three).forEach((end, stage) => {
      const decided = (final[stage] as number) <= 5 * seen;
      t.equal(end, decided ? final[stage] : [150, 250][stage], `${seen} windows, stage ${stage}`);
    });
  }
  t.end();
});

t.test('windows without a finite loss decide nothing', (t) => {
  t.same(curveBoundaries([9, 8, 7, Number.NaN, 6.85], rule), [50]);
  t.same(curveBoundaries([Number.NaN, Number.NaN, Number.NaN, Number.NaN], rule), [500]);
  t.end();
});

t.test('rules that do not fit are refused', (t) => {
  for (const [wrong, message] of [
    [{ window: 0 }, /window/],
    [{ costs: [1] }, /costs/],
    [{ costs: [1, 0] }, /costs/],
    [{ margin: 0 }, /margin/],
  ] as const) {
    t.throws(() => curveBoundaries([], { ...rule, ...wrong }), { code: 'BAD_ARGUMENT', message });
  }
  t.end();
});
