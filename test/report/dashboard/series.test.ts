import t from 'tap';
import { type Row, ThinnedSeries } from '../../../lib/report/dashboard/series.js';

t.test('rows are kept as they are up to the limit, then merged in pairs', async (t) => {
  const series = new ThinnedSeries(['last', 'mean', 'max'], 4);
  for (const row of [
    [1, 10, 5],
    [2, 20, 9],
    [3, 30, 1],
    [4, 50, 2],
  ]) {
    series.add(row);
  }
  t.same(series.rows[0], [1, 10, 5]);
  t.equal(series.rows.length, 4);
  series.add([5, 7, 7]);
  t.same(series.rows, [
    [2, 15, 9],
    [4, 40, 2],
    [5, 7, 7],
  ]);
  series.add([6, 8, 3]);
  t.same(series.rows.at(-1), [6, 7.5, 7], 'the last row fills up');
});

t.test('means weigh every row alike, through any number of merges', async (t) => {
  const series = new ThinnedSeries(['last', 'mean'], 8);
  for (let step = 1; step <= 64; step++) series.add([step, step]);
  t.same(
    series.rows,
    Array.from({ length: 8 }, (_, index) => [8 * index + 8, 8 * index + 4.5]),
  );
});

t.test('what is missing does not count', async (t) => {
  const series = new ThinnedSeries(['last', 'mean'], 2);
  for (const row of [
    [1, null],
    [2, 4],
    [3, 6],
    [4, null],
  ] as Row[]) {
    series.add(row);
  }
  t.same(series.rows, [
    [2, 4],
    [4, 6],
  ]);
});

t.test('changes put together give all rows, whenever they are taken', async (t) => {
  const series = new ThinnedSeries(['last', 'mean'], 16);
  let copy: Row[] = [];
  for (let step = 1; step <= 500; step++) {
    series.add([step, Math.sin(step)]);
    if (step % 7 > 2) continue;
    const { from, rows } = series.takeChange();
    copy = [...copy.slice(0, from), ...rows];
    t.same(copy, series.rows, `at ${step}`);
  }
  t.same(series.takeChange().rows.length, 1, 'the open row only');
});
