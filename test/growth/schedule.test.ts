import t from 'tap';
import { boundarySteps, defaultFractions, defaultStageLayers, makeSchedule } from '../../lib/growth/schedule.js';

t.test('the stage is a function of the step alone', (t) => {
  const schedule = makeSchedule({
    stageLayers: [1, 3, 6, 12],
    boundaries: { fractions: [0.05, 0.1, 0.25] },
    totalSteps: 1000,
  });
  t.same(schedule.boundaries, [50, 100, 250]);
  const at = (step: number) => schedule.stageAt(step);
  t.same(
    [at(0), at(49), at(50), at(99)],
    [
      { index: 0, trainedLayers: 1 },
      { index: 0, trainedLayers: 1 },
      { index: 1, trainedLayers: 3 },
      { index: 1, trainedLayers: 3 },
    ],
  );
  t.same(
    [at(100), at(249), at(250), at(999), at(1000)].map((stage) => stage.trainedLayers),
    [6, 6, 12, 12, 12],
  );
  t.throws(() => at(-1), { code: 'BAD_ARGUMENT' });
  t.throws(() => at(0.5), { code: 'BAD_ARGUMENT' });
  t.end();
});

t.test('fractions, epochs, steps and tokens say the same thing in four ways', (t) => {
  t.same(boundarySteps({ fractions: [2 / 40, 4 / 40, 10 / 40] }, 4000), [200, 400, 1000]);
  t.same(boundarySteps({ fractions: [2 / 35, 4 / 35, 10 / 35] }, 3500), [200, 400, 1000]);
  t.same(boundarySteps({ epochs: [2, 4, 10], stepsPerEpoch: 100 }, 4000), [200, 400, 1000]);
  t.same(boundarySteps({ steps: [200, 400, 1000] }, 4000), [200, 400, 1000]);
  t.same(boundarySteps({ tokens: [200_000, 400_000, 999_001], tokensPerStep: 1000 }, 4000), [200, 400, 1000]);
  t.end();
});

t.test('two boundaries on one step pass over a stage', (t) => {
  const schedule = makeSchedule({ stageLayers: [1, 3, 6, 12], boundaries: { steps: [2, 2, 4] }, totalSteps: 10 });
  t.same(
    [0, 1, 2, 3, 4].map((step) => schedule.stageAt(step).trainedLayers),
    [1, 1, 6, 6, 12],
  );
  const empty = makeSchedule({ stageLayers: [2, 4], boundaries: { steps: [0] }, totalSteps: 10 });
  t.equal(empty.stageAt(0).trainedLayers, 4);
  t.end();
});

t.test('defaults: 12 and 24 layers give the stages of the paper', (t) => {
  t.same(defaultStageLayers(12), [1, 3, 6, 12]);
  t.same(defaultStageLayers(24), [1, 3, 6, 12, 24]);
  t.same(defaultStageLayers(4), [1, 2, 4]);
  t.same(defaultStageLayers(7), [1, 7]);
  t.same(defaultStageLayers(1), [1]);
  t.same(defaultFractions(4), [0.05, 0.1, 0.25]);
  t.same(defaultFractions(5), [0.025, 0.05, 0.1, 0.25]);
  t.same(defaultFractions(3), [0.1, 0.25]);
  t.same(defaultFractions(2), [0.25]);
  t.same(defaultFractions(1), []);
  t.end();
});

t.test('schedules that cannot be are refused', (t) => {
  const make = (stageLayers: number[], steps: number[]) => () =>
    makeSchedule({ stageLayers, boundaries: { steps }, totalSteps: 10 });
  t.throws(make([1, 3], []), { code: 'BAD_ARGUMENT', message: /need 1 boundaries; got 0/ });
  t.throws(make([3, 1], [5]), { code: 'BAD_ARGUMENT', message: /each larger/ });
  t.throws(make([], []), { code: 'BAD_ARGUMENT' });
  t.throws(make([1, 3, 6], [5, 4]), { code: 'BAD_ARGUMENT', message: /rising order/ });
  t.throws(make([1, 3], [1.5]), { code: 'BAD_ARGUMENT', message: /whole/ });
  t.throws(() => boundarySteps({ fractions: [1.2] }, 10), { code: 'BAD_ARGUMENT', message: /at most 1/ });
  t.throws(() => makeSchedule({ stageLayers: [1], boundaries: { steps: [] }, totalSteps: 0 }), {
    code: 'BAD_ARGUMENT',
  });
  t.throws(() => defaultStageLayers(0), { code: 'BAD_ARGUMENT' });
  t.end();
});
