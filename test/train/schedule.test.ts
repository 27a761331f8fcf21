import t from 'tap';
import {
  annealedRate,
  decaySteps,
  learningRate,
  rewoundRate,
  type ScheduleName,
  warmupOf,
} from '../../lib/train/schedule.js';

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

t.test('without warm-up the rate starts at the peak; after the end the rate is zero', (t) => {
  t.equal(learningRate(0, { totalSteps: 4, warmupSteps: 0, peak: 2 }), 2);
  t.equal(learningRate(4, { totalSteps: 4, warmupSteps: 4, peak: 2 }), 0);
  t.equal(learningRate(9, { totalSteps: 4, warmupSteps: 0, peak: 2 }), 0);
  t.throws(() => learningRate(-1, { totalSteps: 4, warmupSteps: 0, peak: 2 }), { code: 'BAD_ARGUMENT' });
  t.end();
});

t.test('a straight line: up to the peak, down to 0', (t) => {
  const schedule = { schedule: 'linear' as const, totalSteps: 10, warmupSteps: 2, peak: 8e-5 };
  const rates = [0, 4e-5, 8e-5, 7e-5, 6e-5, 5e-5, 4e-5, 3e-5, 2e-5, 1e-5, 0, 0];
  rates.forEach((rate, step) => t.ok(near(learningRate(step, schedule), rate, 1e-18), `step ${step}`));
  t.equal(learningRate(0, { ...schedule, warmupSteps: 0 }), 8e-5);
  t.throws(() => learningRate(-1, schedule), { code: 'BAD_ARGUMENT' });
  t.end();
});

t.test('a misspelt setting is refused', (t) => {
  const options = { totalSteps: 10, warmupSteps: 1, peak: 1, scedule: 'wsd' };
  t.throws(() => learningRate(1, options as never), {
    code: 'BAD_ARGUMENT',
    message: /has no option "scedule"; did you mean "schedule"/,
  });
  t.end();
});

t.test('constant: the peak up to the end', (t) => {
  const schedule = { schedule: 'constant' as const, totalSteps: 5, warmupSteps: 2, peak: 4 };
  t.same(
    [0, 1, 2, 3, 4].map((step) => learningRate(step, schedule)),
    [0, 2, 4, 4, 4],
  );
  t.end();
});

t.test('warm-up, stable, decay: linear, 1 - sqrt and cosine', (t) => {
  const rates = (shape: 'linear' | '1-sqrt' | 'cosine') =>
    [0, 1, 2, 11, 12, 13, 14, 15, 16].map((step) =>
      learningRate(step, { schedule: 'wsd', totalSteps: 16, warmupSteps: 2, peak: 8, decay: { steps: 4, shape } }),
    );
  t.same(rates('linear'), [0, 4, 8, 8, 8, 6, 4, 2, 0]);
  t.same(rates('1-sqrt'), [0, 4, 8, 8, 8, 4, 8 * (1 - Math.sqrt(0.5)), 8 * (1 - Math.sqrt(0.75)), 0]);
  const cosine = rates('cosine');
  t.ok(near(cosine[5] as number, 4 + 4 * Math.SQRT1_2, 1e-12) && near(cosine[6] as number, 4, 1e-12));
  t.end();
});

t.test('by default the decay takes the last fifth', (t) => {
  const schedule = { schedule: 'wsd' as const, totalSteps: 1000, warmupSteps: 20, peak: 1 };
  t.equal(decaySteps(1000, 0.2), 200);
  t.equal(decaySteps(3, 0.1), 1, 'at least one step');
  t.same(
    [799, 800, 900, 1000].map((step) => learningRate(step, schedule)),
    [1, 1, 0.5, 0],
  );
  t.end();
});

t.test('a decay that branches off equals that of a shorter run, for every shape', (t) => {
  for (const shape of ['linear', '1-sqrt', 'cosine'] as const) {
    const trunk = { schedule: 'constant' as const, totalSteps: 100, warmupSteps: 7, peak: 3e-3 };
    const shorter = { ...trunk, schedule: 'wsd' as const, totalSteps: 40, decay: { steps: 11, shape } };
    for (let step = 0; step <= 41; step++) {
      const branched = annealedRate(step, { end: 40, steps: 11, shape }, learningRate(step, trunk));
      t.equal(branched, learningRate(step, shorter), `${shape}, step ${step}`);
    }
  }
  t.end();
});

t.test('a schedule that is rewound: its warm-up and decay over the steps that are left', (t) => {
  const schedule = { totalSteps: 12, warmupSteps: 2, peak: 4 };
  const after = (name: ScheduleName) =>
    [4, 5, 6, 8, 10, 11].map((step) => rewoundRate(step, 4, { ...schedule, schedule: name }));
  t.same(after('linear'), [0, 2, 4, (4 * 4) / 6, (4 * 2) / 6, 4 / 6]);
  t.same(after('constant'), [0, 2, 4, 4, 4, 4]);
  const decay = { steps: 4, shape: 'linear' as const };
  t.same(
    [4, 6, 8, 9, 11].map((step) => rewoundRate(step, 4, { ...schedule, schedule: 'wsd', decay })),
    [0, 4, 4, 3, 1],
    'the decay keeps its place',
  );
  t.throws(() => rewoundRate(3, 4, schedule), { code: 'BAD_ARGUMENT' });
  t.end();
});
