import t from 'tap';
import { Dashboard } from '../../../lib/report/dashboard/index.js';
import { doneRecord, evaluationRecord, growthRecord, startRecord, stepRecord } from '../records.js';

const tileOf = (dashboard: Dashboard, label: string) =>
  dashboard.snapshot().tiles.find((tile) => tile.label === label)!;

t.test('a run from its preparation to its end', async (t) => {
  const dashboard = new Dashboard({ title: 'runs/mine' });
  dashboard.progress({ label: 'text: tokenise', done: 0.25 });
  t.match(dashboard.snapshot(), { title: 'runs/mine', state: 'preparing', done: 0.25 });
  t.same(dashboard.snapshot().runs, []);
  t.match(tileOf(dashboard, 'Step'), { value: '0', note: 'text: tokenise' });
  dashboard.describe('gpt, 4 layers');
  dashboard.add(startRecord(0));
  dashboard.add(evaluationRecord(0, 9));
  for (let step = 1; step <= 3; step++) dashboard.add(stepRecord(step));
  dashboard.progress({ label: 'apollo', done: 0.5, etaMs: 65_000 });
  t.match(dashboard.snapshot(), { about: 'gpt, 4 layers', state: 'running', done: 0.5 });
  t.match(tileOf(dashboard, 'Progress'), { value: '50 %', note: '1 min 05 s left' });
  t.match(tileOf(dashboard, 'Step'), { value: '3', note: 'of 1,000, apollo, seed 1' });
  t.match(tileOf(dashboard, 'Held-out loss'), { value: '9.0000' });
  t.match(tileOf(dashboard, 'Training loss'), { value: '3.3333' });
  t.match(tileOf(dashboard, 'Layers trained'), { value: '1 of 4', note: 'last step at depth 2' });
  t.match(tileOf(dashboard, 'Throughput'), { value: '50 ktok/s', note: '2 ms a step' });
  t.match(tileOf(dashboard, 'Memory'), { value: '128 MiB', note: 'device 3.00 MiB, activations 1.00 MiB' });
  t.match(dashboard.snapshot().runs, [
    { row: ['apollo', '1', 'running', '3 / 1,000', '1 of 4', '9.0000', '3.3333', '50 k', '3 kFLOP', '6 ms'] },
  ]);
  dashboard.add(doneRecord(3));
  dashboard.end('finished');
  t.match(dashboard.snapshot(), { state: 'finished', done: 1, runs: [{ state: 'finished' }] });
  t.match(tileOf(dashboard, 'Progress'), { value: '100 %', note: 'finished' });
});

t.test('stages have their depths, growths their place on the axes', async (t) => {
  const dashboard = new Dashboard({ title: 'x' });
  dashboard.add(startRecord(0));
  for (const [step, depth] of [
    [1, 2],
    [2, 4],
    [3, 2],
  ] as const) {
    dashboard.add(stepRecord(step, { depth }));
  }
  dashboard.add(growthRecord(3, 1, 4));
  dashboard.add(stepRecord(4, { depth: 4, trainedLayers: 4 }));
  dashboard.add(growthRecord(3, 1, 4));
  const [run] = dashboard.snapshot().runs;
  t.same(run!.stages, [
    { step: 0, trainedLayers: 1, depthSteps: [0, 0, 2, 0, 1] },
    { step: 3, trainedLayers: 4, depthSteps: [0, 0, 0, 0, 1] },
  ]);
  t.same(
    run!.growths.map(([step, , , from, to]) => [step, from, to]),
    [[3, 1, 4]],
    'told twice, it is one',
  );
});

t.test('changes hold only runs that have changed; a run that starts again drops its points', async (t) => {
  const dashboard = new Dashboard({ title: 'x', reference: 'scratch' });
  dashboard.add(startRecord(0, { method: 'scratch' }));
  dashboard.add(stepRecord(1, { method: 'scratch' }));
  t.match(dashboard.changes(), { reference: 'scratch', runs: [{ id: 'scratch-1' }] });
  dashboard.add(startRecord(0));
  dashboard.add(stepRecord(1));
  const { runs } = dashboard.changes();
  t.same(
    runs.map(({ id, points }) => [id, points.from, points.rows.length]),
    [['apollo-1', 0, 1]],
  );
  t.same(dashboard.changes().runs, []);
  dashboard.add(stepRecord(2));
  t.match(dashboard.changes().runs, [{ points: { from: 1, rows: [[2]] } }]);
  dashboard.add(startRecord(2, { resumed: true }));
  dashboard.add(stepRecord(3));
  t.equal(dashboard.snapshot().runs[1]!.points.rows.length, 3, 'a resumed one keeps its points');
  dashboard.add(startRecord(0));
  t.equal(dashboard.snapshot().runs[1]!.points.rows.length, 0);
});

t.test('when everything ends by an error, no run is shown as running', async (t) => {
  const dashboard = new Dashboard({ title: 'x' });
  dashboard.add(startRecord(0));
  dashboard.changes();
  dashboard.end('failed', 'the disk is full');
  t.match(dashboard.changes(), { state: 'failed', message: 'the disk is full', runs: [{ state: 'stopped' }] });
});

t.test('losses that are not finite are gaps, and a warning is shown', async (t) => {
  const dashboard = new Dashboard({ title: 'x' });
  dashboard.add(startRecord(0));
  dashboard.add(stepRecord(1, { loss: null, applied: false }));
  dashboard.add({ ...startRecord(1), type: 'warning', code: 'NON_FINITE', message: 'Step 1: loss NaN' });
  t.match(dashboard.snapshot(), {
    message: 'Step 1: loss NaN',
    runs: [{ points: { rows: [[1, 100, 1000, 2, null]] } }],
  });
  t.match(tileOf(dashboard, 'Learning rate'), { note: 'update skipped' });
});

t.test('100,000 steps with an evaluation each stay light', async (t) => {
  const dashboard = new Dashboard({ title: 'x' });
  dashboard.add(startRecord(0));
  for (let step = 1; step <= 100_000; step++) {
    dashboard.add(stepRecord(step, { loss: 3 + Math.sin(step), tokens: 16384 * step }));
    dashboard.add(evaluationRecord(step, 3 + Math.cos(step)));
  }
  const snapshot = dashboard.snapshot();
  const [run] = snapshot.runs;
  t.ok(run!.points.rows.length > 400 && run!.points.rows.length <= 1000);
  t.equal(run!.points.rows.at(-1)![0], 100_000, 'the whole run');
  t.ok(run!.evaluations.rows.length <= 1000);
  t.ok(JSON.stringify(snapshot).length < 150_000, 'bytes on load');
});
