import t from 'tap';
import { blockDiagonal, momentFactors } from '../../lib/growth/block-diagonal.js';

t.test('two matrices on the diagonal, zeros elsewhere', (t) => {
  const values = Float32Array.of(1, 2, 3, 4, 5, 6);
  t.same(
    blockDiagonal({ values, rows: 2, columns: 3 }),
    // biome-ignore format: a matrix
    Float32Array.of(
      1, 2, 3, 0, 0, 0,
      4, 5, 6, 0, 0, 0,
      0, 0, 0, 1, 2, 3,
      0, 0, 0, 4, 5, 6,
    ),
  );
  t.end();
});

t.test('blocks of columns become diagonals of their own', (t) => {
  const values = Float32Array.of(1, 2, 3, 4, 5, 6); // three blocks of two columns, one row
  t.same(
    blockDiagonal({ values, rows: 1, columns: 6 }, [2, 2, 2]),
    // biome-ignore format: a matrix
    Float32Array.of(
      1, 2, 0, 0, 3, 4, 0, 0, 5, 6, 0, 0,
      0, 0, 1, 2, 0, 0, 3, 4, 0, 0, 5, 6,
    ),
  );
  t.throws(() => blockDiagonal({ values, rows: 1, columns: 6 }, [4, 4]), {
    code: 'BAD_ARGUMENT',
    message: /6 columns in blocks of 4, 4/,
  });
  t.throws(() => blockDiagonal({ values, rows: 2, columns: 2 }), { code: 'BAD_ARGUMENT' });
  t.end();
});

t.test('half the gradient is half of m and a quarter of v', (t) => {
  t.same(momentFactors(1 / 2), { m: 0.5, v: 0.25 });
  t.end();
});
