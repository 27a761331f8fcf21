import t from 'tap';
import { Graph } from '../../lib/engine/index.js';
import {
  broadcastShapes,
  checkShape,
  normalizeAxes,
  normalizeAxis,
  reduceShape,
  size,
  stridesOf,
} from '../../lib/engine/shape.js';

t.test('size counts elements; a scalar has one', async (t) => {
  t.equal(size([]), 1);
  t.equal(size([2, 3, 4]), 24);
});

t.test('shapes broadcast from the last axis', async (t) => {
  t.strictSame(broadcastShapes('add', [4, 1, 3], [5, 1]), [4, 5, 3]);
  t.strictSame(broadcastShapes('add', [], [2]), [2]);
  t.throws(() => broadcastShapes('add', [4, 3], [2, 3]), {
    code: 'BAD_SHAPE',
    message: /^add: \[4, 3\] and \[2, 3\].*4 meets 2/,
  });
});

t.test('axes count from both ends and are distinct', async (t) => {
  t.equal(normalizeAxis('sum', -1, 3), 2);
  t.strictSame(normalizeAxes('sum', [-1, 0], 3), [0, 2]);
  t.strictSame(normalizeAxes('sum', undefined, 2), [0, 1]);
  t.throws(() => normalizeAxis('sum', 3, 3), { message: /axis 3 .* -3 to 2/ });
  t.throws(() => normalizeAxes('sum', [0, -2], 2), { message: /twice/ });
});

t.test('reducing drops axes or keeps them as 1', async (t) => {
  t.strictSame(reduceShape([2, 3, 4], [0, 2], false), [3]);
  t.strictSame(reduceShape([2, 3, 4], [0, 2], true), [1, 3, 1]);
});

t.test('strides are those of row-major order', async (t) => {
  t.strictSame(stridesOf([2, 3, 4]), [12, 4, 1]);
});

t.test('extents must be positive integers', async (t) => {
  t.throws(() => checkShape('input', [2, 0]), { code: 'BAD_SHAPE', message: /input.*\[2, 0\]/ });
  t.throws(() => checkShape('input', [1.5]), { code: 'BAD_SHAPE' });
});

t.test('a tensor that is too large for the engine is refused when it is recorded', async (t) => {
  const graph = new Graph();
  const message = /at most 2\^50 elements; got \[/;
  t.throws(() => graph.input('x', [2 ** 31, 2 ** 31]), { code: 'BAD_SHAPE', message });
  const column = graph.input('column', [2 ** 30, 1]);
  t.throws(() => column.add(graph.input('row', [1, 2 ** 30])), { code: 'BAD_SHAPE', message });
});
