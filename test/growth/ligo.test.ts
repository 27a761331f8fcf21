import t from 'tap';
import { type DepthInit, initialDepthWeights, initialWidthRows } from '../../lib/growth/index.js';

const rowsOf = (values: Float32Array, columns: number): number[][] =>
  Array.from({ length: values.length / columns }, (_, row) => [...values.slice(row * columns, (row + 1) * columns)]);
const sum = (row: readonly number[]): number => row.reduce((a, b) => a + b, 0);
const from = (operator: number, seed = 1) => ({ seed, operator });

t.test('rand: every new unit is an average of all old ones', (t) => {
  const [added, old] = [200, 64];
  const values = initialWidthRows('rand', { added, old }, from(3));
  t.equal(values.length, added * old);
  for (const row of rowsOf(values, old)) {
    t.ok(Math.abs(sum(row) - 1) < 1e-5);
    t.ok(row.every((x) => x >= 0));
  }
  // An entry is u / sum, u uniform: its mean is 1/64; its deviation near 1/64 * sqrt(1/12) / (1/2), 0.58 of the mean.
  const mean = sum([...values]) / values.length;
  const deviation = Math.sqrt(sum([...values].map((x) => (x - mean) ** 2)) / values.length);
  t.ok(Math.abs(mean - 1 / 64) < 1e-6);
  t.ok(Math.abs(deviation * 64 - Math.sqrt(1 / 3)) < 0.02, `deviation ${deviation * 64} of the mean`);
  t.end();
});

t.test('sel: every new unit is a copy of one old one; noise is added on top', (t) => {
  const [added, old] = [400, 16];
  const rows = rowsOf(initialWidthRows('sel', { added, old }, from(0)), old);
  const uses = new Array<number>(old).fill(0);
  for (const row of rows) {
    t.same([...row].sort(), [...new Array<number>(old - 1).fill(0), 1]);
    uses[row.indexOf(1)]! += 1;
  }
  // 25 uses expected of each, binomial with deviation 4.8.
  t.ok(
    uses.every((count) => count > 3 && count < 50),
    `uses ${uses.join(' ')}`,
  );
  const noisy = rowsOf(initialWidthRows('sel', { added, old }, from(0), 0.03), old);
  noisy.forEach((row, i) => {
    row.forEach((x, j) => {
      const noise = x - rows[i]![j]!;
      if (!(noise >= 0 && noise <= 0.03 + 1e-6)) t.fail(`noise ${noise}`);
    });
  });
  t.ok(new Set(noisy.flat()).size > 5000, 'noise differs from entry to entry');
  t.end();
});

t.test('stackbert_noisy: mostly layer l mod L1, a little of all others', (t) => {
  // 1 / (1 + (L1 - 1) 0.015) on average: 0.86 for 12 small layers, 0.93 for 6; at least 1 / (1 + (L1 - 1) 0.03).
  for (const [small, large, average] of [
    [12, 12, 0.858],
    [6, 12, 0.93],
    [4, 10, 0.957],
  ] as const) {
    const main: number[] = [];
    for (let layer = 0; layer < large; layer++) {
      const row = [...initialDepthWeights('stackbert_noisy', { layer, small, large }, from(layer))];
      t.ok(Math.abs(sum(row) - 1) < 1e-6);
      main.push(row[layer % small]!);
      t.ok(main.at(-1)! >= 1 / (1 + (small - 1) * 0.03) - 1e-6);
      row.forEach((x, j) => t.ok(x >= 0 && (j === layer % small || x <= 0.03)));
    }
    t.ok(Math.abs(sum(main) / large - average) < 0.01, `main entries ${main.join(' ')}`);
  }
  t.end();
});

t.test('stackbert and interpolate are maps', (t) => {
  const map = (init: DepthInit, small: number, large: number) =>
    Array.from({ length: large }, (_, layer) => {
      const row = [...initialDepthWeights(init, { layer, small, large }, from(0))];
      t.same([...row].sort(), [...new Array<number>(small - 1).fill(0), 1]);
      return row.indexOf(1);
    });
  t.same(map('stackbert', 3, 6), [0, 1, 2, 0, 1, 2]);
  t.same(map('stackbert', 3, 7), [0, 1, 2, 0, 1, 2, 0]);
  t.same(map('interpolate', 3, 6), [0, 0, 1, 1, 2, 2]);
  t.same(map('stackbert', 4, 4), [0, 1, 2, 3]);
  t.same(map('interpolate', 1, 3), [0, 0, 0]);
  t.throws(() => initialDepthWeights('stackbert', { layer: 6, small: 3, large: 6 }, from(0)), /no layer 6/);
  t.throws(() => initialDepthWeights('stackbert', { layer: 0, small: 4, large: 3 }, from(0)), { code: 'BAD_ARGUMENT' });
  t.end();
});

t.test('values are a function of the seed and of the operator', (t) => {
  const values = (operator: number, seed: number) =>
    [
      ...initialWidthRows('rand', { added: 3, old: 5 }, { operator, seed }),
      ...initialWidthRows('sel', { added: 9, old: 50 }, { operator, seed }),
      ...initialDepthWeights('stackbert_noisy', { layer: 1, small: 3, large: 4 }, { operator, seed }),
    ].join();
  t.equal(values(2, 7), values(2, 7));
  t.not(values(2, 7), values(3, 7));
  t.not(values(2, 7), values(2, 8));
  t.end();
});
