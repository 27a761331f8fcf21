import t from 'tap';
import {
  byteUnit,
  chartOptions,
  decimalUnit,
  heightAt,
  lossCeiling,
  runningMean,
  small,
  throughput,
  timeUnit,
} from '../../../lib/report/dashboard/client/charts.js';
import { colorsOf, nothing, received } from '../../../lib/report/dashboard/client/state.js';
import { Dashboard } from '../../../lib/report/dashboard/index.js';
import { evaluationRecord, growthRecord, startRecord, stepRecord } from '../records.js';

const theme = {
  series: ['#000001', '#000002'],
  reference: '#777777',
  card: '#fff',
  ink: '#000',
  soft: '#555',
  line: '#ddd',
  font: 'sans-serif',
};

function filled(methods: readonly string[], seeds = [1]): Dashboard {
  const dashboard = new Dashboard({ title: 'x', reference: 'scratch', limit: 16 });
  for (const seed of seeds) {
    for (const method of methods) {
      dashboard.add(startRecord(0, { method, seed }));
      dashboard.add(evaluationRecord(0, 10, { method, seed }));
      for (let step = 1; step <= 20; step++) dashboard.add(stepRecord(step, { method, seed }));
      dashboard.add(growthRecord(20, 1, 4, { method, seed }));
      dashboard.add(evaluationRecord(20, 2, { method, seed }));
    }
  }
  return dashboard;
}

t.test('a page that hears a snapshot and then updates holds what the server holds', async (t) => {
  const dashboard = filled(['scratch', 'apollo']);
  let state = received(nothing, 'snapshot', dashboard.snapshot());
  dashboard.changes(); // sent to pages that are there longer
  for (let step = 21; step <= 200; step++) {
    dashboard.add(stepRecord(step));
    if (step % 3 === 0) state = received(state, 'update', dashboard.changes());
  }
  state = received(state, 'update', dashboard.changes());
  const whole = received(nothing, 'snapshot', dashboard.snapshot());
  t.same([...state.runs], [...whole.runs]);
  t.same(state.view.tiles, whole.view.tiles);
});

t.test('every chart has the data of every run', async (t) => {
  const state = received(nothing, 'snapshot', filled(['scratch', 'apollo'], [1, 2]).snapshot());
  const options: Record<string, any> = chartOptions(state, theme, { training: true, start: false });
  t.same(Object.keys(options), ['loss-flops', 'loss-time', 'depth', 'throughput', 'memory', 'rate']);
  for (const cost of ['loss-flops', 'loss-time']) {
    const { series, legend } = options[cost];
    t.same(legend.data, ['scratch', 'apollo']);
    t.equal(series.length, 12, 'training, held-out and growths of four runs');
    t.ok(series.every((each: any) => each.data.length > 0));
  }
  const [, heldOut, growths] = options['loss-flops'].series;
  t.same(heldOut.data, [
    [0, 10],
    [20, 2],
  ]);
  t.match(growths, { data: [{ name: '1 → 4 layers', value: [20, 2] }], label: { show: false } });
  t.equal(options['depth'].series.length, 2, 'the methods of the seed that runs');
  t.same(options['depth'].series[0].data, [0, 100, 0, 0]);
  t.equal(options['memory'].series.length, 8, 'process and device');
  t.equal(options['memory'].yAxis.name, 'MiB');
  const bare: Record<string, any> = chartOptions(state, theme, { training: false, start: true });
  t.equal(bare['loss-flops'].series[0].lineStyle.width, 2, 'without the training loss the held-out one comes first');
});

t.test('methods have colours, the reference its own, seeds differ by dashes', async (t) => {
  const state = received(nothing, 'snapshot', filled(['scratch', 'apollo'], [1, 2]).snapshot());
  t.same(
    [...colorsOf(state)],
    [
      ['scratch', -1],
      ['apollo', 0],
    ],
  );
  const { series } = chartOptions(state, theme, { training: false, start: false })['loss-flops'] as any;
  const lines = series.filter((each: any) => each.type === 'line').map((each: any) => each.lineStyle);
  t.match(lines, [
    { color: '#777777', type: 'solid' },
    { color: '#000001', type: 'solid' },
    { color: '#777777', type: 'dashed' },
    { color: '#000001', type: 'dashed' },
  ]);
});

t.test('before anything has come there are empty charts', async (t) => {
  const state = received(nothing, 'snapshot', new Dashboard({ title: 'x' }).snapshot());
  const options: Record<string, any> = chartOptions(state, theme, { training: true, start: false });
  t.ok(Object.values(options).every((option) => option.series.length === 0));
});

t.test('throughput is tokens over time between rows', async (t) => {
  t.same(
    throughput([
      [1, 100, 0, 10],
      [3, 300, 0, 50],
      [4, 400, 0, 50],
    ]),
    [
      [1, 10_000],
      [3, 5000],
    ],
  );
});

t.test('curves of many rows are running means of a fiftieth of them', async (t) => {
  const rows = Array.from({ length: 100 }, (_, index) => [index, 100 * index, 0, 10 * index, index]);
  const mean = runningMean(rows, ([step]: number[]) => step);
  t.same(
    [mean[0], mean[1], mean[99]],
    [
      [0, 0],
      [1, 0.5],
      [99, 98.5],
    ],
  );
  t.same(throughput(rows).at(-1), [99, 10_000]);
  const gap = runningMean(
    [
      [1, 0, 0, 0, 4],
      [2, 0, 0, 0, null],
      [3, 0, 0, 0, 8],
    ],
    ([step]: number[]) => step,
  );
  t.same(
    gap,
    [
      [1, 4],
      [3, 8],
    ],
    'what is missing is left out',
  );
});

t.test('the first fall is cut off once there are eight evaluations', async (t) => {
  const evaluations = [9, 6, 5, 4, 3.5, 3.2, 3.1, 3].map((loss, index) => [index, index * 1000, index, loss]);
  t.equal(lossCeiling([{ evaluations: evaluations.slice(0, 7) }]), undefined);
  t.equal(lossCeiling([{ evaluations }]), 6.3, '6 and a tenth of 6 - 3');
});

t.test('units and heights', async (t) => {
  t.same(
    [decimalUnit(999), decimalUnit(2.5e15), timeUnit(60e3), timeUnit(4e6), timeUnit(2e7)],
    [
      [1, ''],
      [1e15, 'P'],
      [1e3, 's'],
      [60e3, 'min'],
      [3600e3, 'h'],
    ],
  );
  t.same(byteUnit(3 * 2 ** 30), [2 ** 30, 'GiB']);
  t.same([small(5e-4), small(0), small(0.5), small(120)], ['5e−4', '0', '0.5', '120']);
  const curve = [
    [0, 10],
    [10, 0],
  ];
  t.same([heightAt(curve, 0), heightAt(curve, 4), heightAt(curve, 11)], [10, 6, undefined]);
});
