import t from 'tap';
import {
  advancedColumns,
  copyCounts,
  divideVector,
  duplicationMap,
  expandGroups,
  expandMatrix,
  expandVector,
  sideBySide,
} from '../../lib/growth/width.js';

const floats = (...values: number[]) => Float32Array.from(values);
/** x W for a vector x, with W in row-major order. */
const times = (x: number[], w: Float32Array) => {
  const columns = w.length / x.length;
  return Array.from({ length: columns }, (_, j) =>
    x.reduce((sum, value, i) => sum + value * (w[i * columns + j] as number), 0),
  );
};

t.test("bert2BERT's worked example: EXPN keeps the outputs of expanded inputs", (t) => {
  const w = { values: floats(1, 2, 3, 4), rows: 2, columns: 2 };
  const [gIn, gOut] = [
    [0, 1, 0],
    [0, 1, 1],
  ];
  const u = expandMatrix(w, { rows: gIn, columns: gOut });
  t.same(u, floats(0.5, 1, 1, 3, 4, 4, 0.5, 1, 1));
  t.same(times([1, 2], w.values), [7, 10]);
  t.same(times([1, 2, 1], u), [7, 10, 10]);
  t.same(expandVector(floats(7, 10), gOut), floats(7, 10, 10), 'a bias is copied undivided');
  t.end();
});

t.test('AKI takes the columns that are copies from the layer above', (t) => {
  const maps = { rows: [0, 1, 0], columns: [0, 1, 1] };
  const own = expandMatrix({ values: floats(1, 2, 3, 4), rows: 2, columns: 2 }, maps);
  const next = expandMatrix({ values: floats(5, 6, 7, 8), rows: 2, columns: 2 }, maps);
  t.same(
    advancedColumns(own, next, (at) => at % 3 >= 2),
    floats(0.5, 1, 3, 3, 4, 8, 0.5, 1, 3),
  );
  t.throws(() => advancedColumns(own, floats(1), () => true), { code: 'BAD_ARGUMENT' });
  t.end();
});

t.test('a tied decoder gives the same logits when the counts are folded into the norm before it', (t) => {
  const map = [0, 1, 0];
  const table = { values: floats(0.1, 0.2, 0.3, -0.4), rows: 2, columns: 2 };
  const logits = (hidden: Float32Array, rows: Float32Array) => {
    const width = hidden.length;
    return [0, 1].map((token) => hidden.reduce((sum, h, i) => sum + h * (rows[token * width + i] as number), 0));
  };
  const near = (got: number[], expected: number[], what: string) =>
    t.ok(
      got.every((value, i) => Math.abs(value - (expected[i] as number)) < 1e-7),
      `${what}: ${got}`,
    );
  const wide = expandMatrix(table, { columns: map });
  t.same(wide, floats(0.1, 0.2, 0.1, 0.3, -0.4, 0.3), 'a table that is looked up in is not divided');
  near(logits(floats(1, 2), table.values), [0.5, -0.5], 'narrow');
  near(logits(expandVector(floats(1, 2), map), wide), [0.6, -0.2], 'naively expanded');
  near(logits(divideVector(floats(1, 2), map), wide), [0.5, -0.5], 'counts folded in');
  t.end();
});

t.test('layer norm of copies is that of the originals only where counts are equal', (t) => {
  const normalise = (x: Float32Array) => {
    const mean = x.reduce((a, b) => a + b) / x.length;
    const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
    return Array.from(x, (value) => (value - mean) / Math.sqrt(variance));
  };
  const near = (got: number[], expected: number[]) =>
    t.ok(got.length === expected.length && got.every((v, i) => Math.abs(v - (expected[i] as number)) < 5e-4), `${got}`);
  const x = floats(1, 2, 4);
  near(normalise(x), [-1.069, -0.267, 1.336]);
  near(normalise(expandVector(x, [0, 1, 2, 0])), [-0.816, 0, 1.633, -0.816]);
  near(normalise(expandVector(x, [0, 1, 2, 0, 1, 2])), [-1.069, -0.267, 1.336, -1.069, -0.267, 1.336]);
  t.end();
});

t.test('maps begin with the identity; drawn ones are functions of seed and number', (t) => {
  t.same(duplicationMap(3, 8, 'even'), [0, 1, 2, 0, 1, 2, 0, 1]);
  for (const [from, to] of [
    [1, 5],
    [3, 3],
    [512, 768],
    [8, 12],
  ] as const) {
    for (const rule of ['even', { seed: 7, first: 100 }] as const) {
      const map = duplicationMap(from, to, rule);
      t.equal(map.length, to);
      t.same(
        map.slice(0, from),
        Array.from({ length: from }, (_, i) => i),
      );
      const counts = copyCounts(map, from);
      t.equal(
        counts.reduce((a, b) => a + b),
        to,
        'every unit of the wide network copies one',
      );
      if (rule === 'even') t.ok(Math.max(...counts) - Math.min(...counts) <= 1);
    }
  }
  const drawn = (seed: number, first: number) => duplicationMap(16, 64, { seed, first });
  t.same(drawn(1, 0), drawn(1, 0));
  t.not(drawn(1, 0).join(), drawn(2, 0).join());
  t.not(drawn(1, 0).join(), drawn(1, 1000).join());
  // 48 of 16 equally likely units: the chance that fewer than 8 different ones come is far below 1e-9.
  t.ok(new Set(drawn(1, 0).slice(16)).size >= 8);
  t.end();
});

t.test('heads are copied whole, queries, keys and values each for themselves', (t) => {
  t.same(expandGroups([0, 1, 0], 2), [0, 1, 2, 3, 0, 1]);
  const block = { map: [0, 1, 0], from: 2 };
  t.same(sideBySide([block, block, { map: [0, 0], from: 1 }]), [0, 1, 0, 2, 3, 2, 4, 4]);
  t.same(copyCounts([0, 1, 0, 0], 3), [3, 1, 0]);
  t.end();
});

t.test('expansion keeps every product for any maps', (t) => {
  for (let seed = 0; seed < 20; seed++) {
    const [rows, columns] = [2 + (seed % 3), 1 + (seed % 4)];
    const values = Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i + seed));
    const maps = {
      rows: duplicationMap(rows, rows + (seed % 5), { seed, first: 0 }),
      columns: duplicationMap(columns, 2 * columns + 1, { seed, first: 50 }),
    };
    const x = Array.from({ length: rows }, (_, i) => Math.cos(3 * i + seed));
    const narrow = times(x, values);
    const wide = times(
      maps.rows.map((unit) => x[unit] as number),
      expandMatrix({ values, rows, columns }, maps),
    );
    const expected = maps.columns.map((unit) => narrow[unit] as number);
    t.ok(
      wide.every((value, j) => Math.abs(value - (expected[j] as number)) < 1e-6),
      `seed ${seed}`,
    );
  }
  t.end();
});

t.test('what does not fit is refused', (t) => {
  t.throws(() => duplicationMap(4, 3, 'even'), { code: 'BAD_ARGUMENT', message: /from 4, to 3/ });
  t.throws(() => copyCounts([0, 2], 2), { code: 'BAD_ARGUMENT', message: /2 units names unit 2/ });
  t.throws(() => expandMatrix({ values: floats(1, 2, 3), rows: 2, columns: 2 }, {}), {
    code: 'BAD_ARGUMENT',
    message: /\[2, 2\] of 3 elements/,
  });
  const square = { values: floats(1, 2, 3, 4), rows: 2, columns: 2 };
  for (const maps of [{ rows: [0, 2] }, { columns: [0, 2] }]) {
    t.throws(() => expandMatrix(square, maps), { code: 'BAD_ARGUMENT', message: /2 units names unit 2/ });
  }
  t.throws(() => expandVector(floats(1), [0, 1]), { code: 'BAD_ARGUMENT' });
  t.end();
});
