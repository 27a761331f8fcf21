import t from 'tap';
import { mixingTime } from '../../lib/growth/index.js';

const points = (losses: Record<number, number>) =>
  Object.entries(losses).map(([step, loss]) => ({ step: Number(step), loss }));
const fixed = points({ 0: 9, 100: 5, 200: 4, 300: 3.5, 400: 3.2, 500: 3 });

t.test('the first step at which the grown run is as low', (t) => {
  const grown = points({ 0: 9, 100: 6, 200: 5, 300: 3.8, 400: 3.205, 500: 2.9 });
  t.equal(mixingTime({ grown, fixed, grownAt: 200, window: 1 }), 200, '3.205 <= 3.2 + 0.01');
  t.equal(mixingTime({ grown, fixed, grownAt: 200, window: 1, epsilon: 0 }), 300);
  t.equal(mixingTime({ grown, fixed, grownAt: 200, window: 1, epsilon: 0.3 }), 100);
  // Means of the points since the growth: (3.8 + 3.205) / 2 = 3.5025 against 3.35; then 3.3017 against 3.2333.
  t.equal(mixingTime({ grown, fixed, grownAt: 200 }), undefined);
  t.equal(mixingTime({ grown, fixed, grownAt: 200, epsilon: 0.07 }), 300);
  t.end();
});

t.test('the loss at the step of the growth, which is from before it, does not count', (t) => {
  const grown = points({ 200: 3, 300: 4, 400: 3 });
  t.equal(mixingTime({ grown, fixed, grownAt: 200, window: 1 }), 200);
  t.end();
});

t.test('a run that does not come as low has no mixing time, and one without common steps is an error', (t) => {
  t.equal(mixingTime({ grown: points({ 300: 4, 400: 4 }), fixed, grownAt: 200 }), undefined);
  t.throws(() => mixingTime({ grown: points({ 100: 4, 350: 3 }), fixed, grownAt: 200 }), {
    code: 'BAD_ARGUMENT',
    message: /same steps after the growth at step 200/,
  });
  t.end();
});
