import t from 'tap';
import { learningRate, linearRate, warmupOf } from '../../lib/train/schedule.js';

const near = (got: number, expected: number, tolerance: number) => Math.abs(got - expected) <= tolerance;

t.test('ten steps with one of warm-up: the rates the released run logged', (t) => {
  const schedule = { totalSteps: 10, warmupSteps: 1, peak: 1e-4 };
  const logged = [
    0, 1e-4, 9.698463e-5, 8.830222e-5, 7.5e-5, 5.868241e-5, 4.131759e-5, 2.5e-5, 1.169778e-5, 3.015369e-6, 0,
  ];
  logged.forEach((rate, step) => t.ok(near(learningRate(step, schedule), rate, 5e-12), `step ${step}`));
  t.end();
});

t.test('a thousand steps with 25 of warm-up', (t) => {
  const schedule = { totalSteps: 1000, warmupSteps: warmupOf(1000, 0.025), peak: 1e-4 };
  t.equal(schedule.warmupSteps, 25);
  t.ok(near(learningRate(1, schedule), 4e-6, 1e-18));
  t.ok(near(learningRate(12, schedule), 4.8e-5, 1e-18));
  t.ok(near(learningRate(25, schedule), 1e-4, 1e-18));
  t.ok(near(learningRate(500, schedule), 5.20133e-5, 5e-11));
  t.ok(near(learningRate(999, schedule), 3e-10, 5e-11));
  t.end();
});

t.test('warm-up is rounded up, but not by an error of floats', (t) => {
  t.equal(warmupOf(10, 0.025), 1);
  t.equal(warmupOf(200, 0.025), 5);
  t.equal(warmupOf(201, 0.025), 6);
  t.equal(warmupOf(1, 0), 0);
  t.end();
});

t.test('no warm-up begins at the peak; after the end the rate is zero', (t) => {
  t.equal(learningRate(0, { totalSteps: 4, warmupSteps: 0, peak: 2 }), 2);
  t.equal(learningRate(4, { totalSteps: 4, warmupSteps: 4, peak: 2 }), 0);
  t.equal(learningRate(9, { totalSteps: 4, warmupSteps: 0, peak: 2 }), 0);
  t.throws(() => learningRate(-1, { totalSteps: 4, warmupSteps: 0, peak: 2 }), { code: 'BAD_ARGUMENT' });
  t.end();
});

t.test('a straight line: up to the peak, down to 0', (t) => {
  const schedule = { totalSteps: 10, warmupSteps: 2, peak: 8e-5 };
  const rates = [0, 4e-5, 8e-5, 7e-5, 6e-5, 5e-5, 4e-5, 3e-5, 2e-5, 1e-5, 0, 0];
  rates.forEach((rate, step) => t.ok(near(linearRate(step, schedule), rate, 1e-18), `step ${step}`));
  t.equal(linearRate(0, { ...schedule, warmupSteps: 0 }), 8e-5);
  t.throws(() => linearRate(-1, schedule), { code: 'BAD_ARGUMENT' });
  t.end();
});
