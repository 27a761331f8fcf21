import t from 'tap';
import { Graph } from '../../lib/engine/graph.js';
import { add, matmul, residualRmsNorm } from '../../lib/engine/ops/index.js';

t.test('a leaf asked for twice is one tensor', async (t) => {
  const g = new Graph();
  t.equal(g.input('x', [2]), g.input('x', [2]));
  t.equal(g.parameter('w', [2, 3], 'bf16'), g.parameter('w', [2, 3], 'bf16'));
  t.throws(() => g.parameter('w', [2, 3]), {
    code: 'BAD_ARGUMENT',
    message: /'w' exists as bf16 \[2, 3\].*f32 \[2, 3\]/,
  });
  t.throws(() => g.input('x', [3]), { code: 'BAD_ARGUMENT' });
  t.throws(() => g.input('', [3]), { code: 'BAD_ARGUMENT' });
});

t.test('equal constants are one tensor, different ones are not', async (t) => {
  const g = new Graph();
  t.equal(g.constant(0, [3]), g.constant(0, [3]));
  t.not(g.constant(0), g.constant(-0));
  t.not(g.constant(1, [3]), g.constant(1, [3], 'bf16'));
});

t.test('dropout streams count up in the order of tracing', async (t) => {
  const g = new Graph();
  const x = g.input('x', [4]);
  t.strictSame(
    [x.dropout(0.1), x.dropout(0.1)].map((y) => y.node.attrs.stream),
    [1, 2],
  );
  t.equal(x.dropout(0), x, 'nothing to drop');
  t.throws(() => x.dropout(1), { code: 'BAD_ARGUMENT', message: /\[0, 1\); got 1/ });
});

t.test('equal structures have equal signatures', async (t) => {
  const build = (alpha: number, name = 'y') => {
    const g = new Graph();
    g.output(
      name,
      g
        .input('x', [2, 3])
        .scale(alpha)
        .matmul(g.parameter('w', [3, 4])),
    );
    return g.signature;
  };
  t.equal(build(2), build(2));
  t.not(build(2), build(3), 'an attribute differs');
  t.not(build(Infinity), build(NaN), 'attributes that JSON does not know');
  t.not(build(2), build(2, 'z'), 'an output name differs');
});

t.test('tensors of two graphs do not mix', async (t) => {
  const [a, b] = [new Graph().input('a', [2]), new Graph().input('b', [2])];
  t.throws(() => add(a, b), { code: 'BAD_ARGUMENT', message: /add|binary/ });
  t.throws(() => a.graph.output('b', b), { code: 'BAD_ARGUMENT' });
});

t.test('an output name is used once', async (t) => {
  const g = new Graph();
  g.output('y', g.input('x', [2]));
  t.throws(() => g.output('y', g.input('x', [2])), { message: /'y' exists/ });
});

t.test('shape errors name the op, both shapes and what to do', async (t) => {
  const g = new Graph();
  const x = (shape: number[], name = shape.join('x'), dtype: 'f32' | 'bf16' | 'i32' = 'f32') =>
    g.input(name, shape, dtype);
  const message = (pattern: RegExp) => ({ code: 'BAD_SHAPE', message: pattern });
  t.throws(
    () => matmul(x([4, 3]), x([5, 2])),
    message(/^matmul: a \[4, 3\] and b \[5, 2\] do not match: inner sizes 3 and 5/),
  );
  t.throws(() => matmul(x([2, 4, 3]), x([5, 2])), message(/^matmul: a \[2, 4, 3\] and b .*inner sizes 3 and 5/));
  t.throws(() => matmul(x([4, 3]), x([3, 4], 'b', 'bf16')), message(/both be f32 or both bf16.*cast/));
  t.throws(() => matmul(x([4, 3]), x([3, 4]), { bias: x([3]) }), message(/bias must be f32 \[4\]/));
  t.throws(() => matmul(x([4]), x([4, 2])), message(/equal rank/));
  t.throws(() => x([4]).add(x([4], 'i', 'i32')), message(/^add: .*differ in dtype/));
  t.throws(() => x([4, 3]).reshape([5, -1]), message(/12 elements and cannot become \[5, -1\]/));
  t.throws(() => x([4, 3]).slice([0, 1], [4, 3]), message(/do not lie in \[4, 3\]/));
  t.throws(() => x([4, 3]).transpose([0, 0]), message(/each axis/));
  t.throws(() => x([4, 3]).layerNorm(x([4]), x([3])), message(/weight must be f32 \[3\]/));
  t.throws(
    () => x([4, 3]).rmsNorm(x([4])),
    message(/^rmsNorm: weight must be f32 \[3\] for x \[4, 3\]; got f32 \[4\]/),
  );
  t.throws(
    () => residualRmsNorm(x([4, 3]), x([3, 4]), x([3])),
    message(/x f32 \[4, 3\] and residual .* must be alike/),
  );
  t.throws(() => x([4, 3]).swiglu(), message(/^swiglu: needs f32 or bf16 x \[.., 2F\], .*got f32 \[4, 3\]/));
  t.throws(() => x([4, 3]).broadcastTo([4, 1]), message(/does not stretch/));
  for (const extent of [0, -1]) {
    const expected = message(/^broadcastTo: every extent of a shape must be a positive integer; got \[/);
    t.throws(() => x([1, 3]).broadcastTo([extent, 3]), expected);
  }
});
