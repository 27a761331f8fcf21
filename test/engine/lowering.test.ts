import t from 'tap';
import { accumulateGradients } from '../../lib/engine/autodiff.js';
import { Graph } from '../../lib/engine/graph.js';
import { graphFlops, lower, schedule } from '../../lib/engine/lowering.js';
import { attention, embedding, lmHeadLoss, matmul, mul, sum } from '../../lib/engine/ops/index.js';
import { interpret } from '../reference/interpreter.js';

t.test('a reshape is an alias, not an instruction', async (t) => {
  const g = new Graph();
  const x = g.input('x', [2, 3]);
  g.output('y', x.scale(2).reshape([3, 2]).reshape([6]).scale(3));
  const { desc } = lower(g);
  t.strictSame(
    desc.instructions.map(({ op }) => op),
    ['scale', 'scale'],
  );
  const [alias] = desc.values.filter(({ storage }) => storage === 'alias');
  t.strictSame(alias!.shape, [6]);
  t.equal(desc.values[alias!.slot]!.storage, 'arena');
});

t.test('what no output needs is left out', async (t) => {
  const g = new Graph();
  const x = g.input('x', [2]);
  x.exp();
  g.input('unused', [5]);
  g.output('y', x.scale(2));
  const lowered = lower(g);
  t.strictSame(
    lowered.desc.instructions.map(({ op }) => op),
    ['scale'],
  );
  t.strictSame(
    lowered.inputs.map(({ name }) => name),
    ['x'],
  );
});

t.test('a constant is written once, right before its first use', async (t) => {
  const g = new Graph();
  const one = () => g.constant(1, [2]);
  one(); // recorded first, needed last
  const x = g.input('x', [2]).exp().sin();
  g.output('y', mul(x, one()).add(one()));
  t.strictSame(
    lower(g).desc.instructions.map(({ op }) => op),
    ['unary', 'unary', 'fill', 'binary', 'binary'],
  );
});

t.test('inputs, parameters and doubles come out through copies; bf16 through a cast; views as they are', async (t) => {
  const g = new Graph();
  const x = g.input('x', [2, 2]);
  const y = x.scale(2);
  g.output('x', x);
  g.output('w', g.parameter('w', [3]));
  g.output('y', y);
  g.output('again', y.reshape([4]));
  g.output('low', y.cast('bf16'));
  const { desc, outputs } = lower(g);
  t.strictSame(desc.instructions.map(({ op }) => op).sort(), ['cast', 'cast', 'copy', 'copy', 'copy', 'scale']);
  t.strictSame(Object.fromEntries(outputs.map(({ name, shape, dtype }) => [name, `${dtype} ${shape}`])), {
    x: 'f32 2,2',
    w: 'f32 3',
    y: 'f32 2,2',
    again: 'f32 4',
    low: 'f32 2,2',
  });
  const results = interpret(desc, [Float64Array.of(7, 8, 9)], [[1, 2, 3, 4]]);
  const byName = Object.fromEntries(outputs.map(({ name }, slot) => [name, [...results[slot]!]]));
  t.strictSame(byName, { x: [1, 2, 3, 4], w: [7, 8, 9], y: [2, 4, 6, 8], again: [2, 4, 6, 8], low: [2, 4, 6, 8] });
});

t.test('a gradient that cannot be fused is added as soon as it exists', async (t) => {
  const g = new Graph();
  let x = g.input('x', [4]);
  for (let layer = 0; layer < 3; layer++) x = mul(x, g.parameter(`w${layer}`, [4]));
  g.output('loss', sum(x));
  accumulateGradients(g.outputs.get('loss')!);
  const order = schedule(g)
    .map(({ op }) => op.name)
    .filter((name) => name === 'binary' || name === 'accumulate');
  // Per layer from the last: the product for dx, the one for dw, and dw's accumulation before the next layer's.
  t.strictSame(order.slice(3), [
    'binary',
    'binary',
    'accumulate',
    'binary',
    'binary',
    'accumulate',
    'binary',
    'accumulate',
  ]);
});

t.test('attributes that are undefined do not reach the native description', async (t) => {
  const g = new Graph();
  g.output('y', matmul(g.input('a', [2, 3]), g.input('b', [3, 2])));
  for (const { attrs } of lower(g).desc.instructions) t.notOk(Object.values(attrs).includes(undefined as never));
});

t.test('executed FLOPs follow the ops that run', async (t) => {
  const count = (build: (g: Graph) => void) => {
    const g = new Graph();
    build(g);
    return graphFlops(g);
  };
  t.equal(
    count((g) => g.output('y', matmul(g.input('a', [4, 3]), g.input('b', [3, 5])))),
    2 * 4 * 3 * 5,
  );
  t.equal(
    count((g) => g.output('y', matmul(g.input('a', [2, 4, 3]), g.input('b', [2, 5, 3]), { transB: true }))),
    2 * 2 * 4 * 3 * 5,
  );
  const qkv = (causal: boolean) => (g: Graph) =>
    g.output('y', attention({ qkv: g.input('qkv', [2, 5, 24]) }, { heads: 2, causal }));
  t.equal(count(qkv(false)), 2 * 2 * 2 * 25 * 8, 'scores and weighted values over the square');
  t.equal(count(qkv(true)), 2 * 2 * 2 * 15 * 8, 'causal: the triangle');
  t.equal(
    count((g) =>
      accumulateGradients(lmHeadLoss(g.input('x', [7, 4]), g.parameter('t', [11, 4]), g.input('l', [7], 'i32')).loss),
    ),
    3 * 2 * 7 * 4 * 11,
    'loss and gradients in one pass: logits, dx, dTable',
  );
  t.equal(
    count((g) => {
      const h = matmul(embedding(g.parameter('e', [9, 4]), g.input('ids', [6], 'i32')), g.parameter('w', [4, 5]));
      accumulateGradients(sum(h.square()));
    }),
    3 * 2 * 6 * 4 * 5,
    'forward, dX and dW',
  );
});
