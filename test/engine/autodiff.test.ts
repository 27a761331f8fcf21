import t from 'tap';
import { accumulateGradients, gradients } from '../../lib/engine/autodiff.js';
import { Graph } from '../../lib/engine/graph.js';
import { lower } from '../../lib/engine/lowering.js';
import { add, lmHeadLoss, matmul, mul, pow, square, sum } from '../../lib/engine/ops/index.js';
import { interpret } from '../reference/interpreter.js';

/** Runs a graph in float64 over parameter values; returns outputs and gradients by name. */
function execute(graph: Graph, values: Record<string, number[]>, inputs: Record<string, number[]> = {}, runs = 1) {
  const lowered = lower(graph);
  const memory = lowered.buffers.map(({ kind, name }) =>
    kind === 'gradient' ? new Float64Array(values[name]!.length) : Float64Array.from(values[name]!),
  );
  let results: Float64Array[] = [];
  for (let run = 0; run < runs; run++)
    results = interpret(
      lowered.desc,
      memory,
      lowered.inputs.map(({ name }) => inputs[name]!),
    );
  const gradient = (name: string) => {
    const slot = lowered.buffers.findIndex((buffer) => buffer.kind === 'gradient' && buffer.name === name);
    return slot < 0 ? undefined : [...memory[slot]!];
  };
  const outputs = Object.fromEntries(lowered.outputs.map(({ name }, slot) => [name, [...results[slot]!]]));
  return { outputs, gradient, ops: lowered.desc.instructions.map(({ op }) => op), lowered };
}

t.test('a tensor used several times sums its gradients', async (t) => {
  const g = new Graph();
  const x = g.input('x', [2]);
  const [dx] = gradients(sum(add(mul(x, x), x)), [x]);
  g.output('dx', dx!);
  t.strictSame(execute(g, {}, { x: [3, -1] }).outputs.dx, [7, -1]); // 2x + 1
});

t.test('gradients by a tensor on the way, and zeros by one that is not', async (t) => {
  const g = new Graph();
  const [x, z] = [g.input('x', [2]), g.input('z', [3])];
  const y = square(x);
  gradients(sum(mul(y, 3)), [y, x, z]).forEach((tensor, i) => g.output(`d${i}`, tensor));
  t.strictSame(execute(g, {}, { x: [2, 5], z: [1, 1, 1] }).outputs, { d0: [3, 3], d1: [12, 30], d2: [0, 0, 0] });
});

t.test('the slope of a power of 0 is 0, also at 0', async (t) => {
  const g = new Graph();
  const [x, b] = [g.input('x', [3]), g.input('b', [3])];
  const slopes = [pow(x, 0), pow(x, g.constant(0, [3])), pow(x, b), pow(x, 3)];
  for (const [i, y] of slopes.entries()) g.output(`d${i}`, gradients(sum(y), [x])[0]!);
  const zeros = [0, 0, 0];
  const { outputs } = execute(g, {}, { x: [0, 2, 0], b: [0, 0, 1] });
  t.strictSame(outputs, { d0: zeros, d1: zeros, d2: [0, 0, 1], d3: [0, 12, 0] });
});

t.test('a loss must be one f32 value', async (t) => {
  const g = new Graph();
  const x = g.input('x', [2]);
  t.throws(() => gradients(square(x), [x]), { code: 'BAD_ARGUMENT', message: /one f32 value; got f32 \[2\]/ });
  t.throws(() => accumulateGradients(sum(g.input('b', [2], 'bf16'))), { code: 'BAD_ARGUMENT' });
  t.throws(() => gradients(sum(x), [g.input('i', [2], 'i32')]), { code: 'BAD_ARGUMENT', message: /i32/ });
});

t.test('an op without gradient on the way is an error that names it', async (t) => {
  const g = new Graph();
  const x = g.input('x', [2, 3]);
  const [dx] = gradients(sum(x.softmax().square()), [x]);
  t.throws(() => gradients(sum(dx!), [x]), { code: 'BAD_ARGUMENT', message: /softmaxBackward has no gradient rule/ });
});

t.test('second derivatives come from differentiating twice', async (t) => {
  const g = new Graph();
  const x = g.input('x', [2]);
  const [dx] = gradients(sum(mul(square(x), x)), [x]);
  g.output('d2', gradients(sum(dx!), [x])[0]!);
  t.strictSame(execute(g, {}, { x: [2, -3] }).outputs.d2, [12, -18]); // 6x
});

t.test('a shared weight collects every use in its own buffer, without temporaries', async (t) => {
  const g = new Graph();
  const w = g.parameter('w', [2, 2]);
  const x = g.input('x', [1, 2]);
  const names = accumulateGradients(sum(matmul(matmul(x, w), w)));
  t.strictSame(names, ['w']);
  const { gradient, lowered } = execute(g, { w: [1, 2, 3, 4] }, { x: [5, 6] }, 2);
  // h = x w = [23, 34]; dw = h^T 1 + x^T (1 w^T), w 1 = [3, 7]; two runs add up.
  t.strictSame(gradient('w'), [2 * (23 + 15), 2 * (23 + 35), 2 * (34 + 18), 2 * (34 + 42)]);
  const sinks = lowered.desc.instructions.filter(({ attrs }) => attrs.accumulate);
  t.strictSame(
    sinks.map(({ op }) => op),
    ['matmul', 'matmul'],
  );
  t.notOk(lowered.desc.instructions.some(({ op }) => op === 'accumulate' || op === 'add'));
});

t.test(
  'a contribution used elsewhere, or made by an op that cannot add, is accumulated by an instruction',
  async (t) => {
    const g = new Graph();
    const [a, b] = [g.parameter('a', [3]), g.parameter('b', [3])];
    const x = g.input('x', [3]);
    // d a = d b = x: one tensor for two sinks.
    accumulateGradients(sum(mul(add(a, b), x)));
    const { gradient, ops } = execute(g, { a: [1, 1, 1], b: [1, 1, 1] }, { x: [1, 2, 3] });
    t.strictSame(
      [gradient('a'), gradient('b')],
      [
        [1, 2, 3],
        [1, 2, 3],
      ],
    );
    t.equal(ops.filter((op) => op === 'accumulate').length, 2);
  },
);

t.test('a product that two parameters share as their gradient reaches both', async (t) => {
  const g = new Graph();
  const [a, b] = [g.parameter('a', [2, 1]), g.parameter('b', [2, 1])];
  accumulateGradients(sum(matmul(g.input('x', [1, 2]), add(a, b))));
  const { gradient } = execute(g, { a: [0, 0], b: [0, 0] }, { x: [3, 4] }, 2);
  t.strictSame(
    [gradient('a'), gradient('b')],
    [
      [6, 8],
      [6, 8],
    ],
  );
});

t.test('one parameter as weight and bias of a norm does not race for its buffer', async (t) => {
  const g = new Graph();
  const p = g.parameter('p', [2]);
  const x = g.input('x', [1, 2]);
  accumulateGradients(sum(mul(x.layerNorm(p, p, { epsilon: 0 }), g.input('c', [1, 2]))));
  const { gradient, lowered } = execute(g, { p: [1, 1] }, { x: [-1, 1], c: [2, 3] });
  t.strictSame(gradient('p'), [-2 + 2, 3 + 3]);
  const [norm] = lowered.desc.instructions.filter(({ op }) => op === 'layerNormBackward');
  t.equal((norm!.attrs.accumulate as number[]).length, 1);
});

t.test('gradients of bf16 parameters are f32 and fuse all the same, also through views', async (t) => {
  const g = new Graph();
  const w = g.parameter('w', [4, 1], 'bf16');
  const x = g.input('x', [3, 2], 'bf16');
  const loss = sum(matmul(x, w.reshape([2, 2]), { dtype: 'f32' }));
  g.output('loss', loss);
  accumulateGradients(loss);
  const { lowered } = execute(g, { w: [1, 2, 3, 4] }, { x: [1, 1, 1, 1, 1, 1] });
  const [sink] = lowered.desc.instructions.filter(({ attrs }) => attrs.accumulate);
  const value = lowered.desc.values[sink!.outputs[0]!]!;
  t.match(value, { dtype: 'f32', storage: 'buffer', shape: [2, 2] });
  t.strictSame(lowered.buffers.map(({ kind }) => kind).sort(), ['gradient', 'workingCopy']);
});

t.test('what only frozen parameters need is not computed', async (t) => {
  const g = new Graph();
  const [w1, w2] = [g.parameter('w1', [2, 2]), g.parameter('w2', [2, 2])];
  const hidden = matmul(g.input('x', [1, 2]), w1);
  const names = accumulateGradients(sum(matmul(hidden, w2)), { trainable: (name) => name === 'w2' });
  t.strictSame(names, ['w2']);
  const { ops, gradient } = execute(g, { w1: [1, 0, 0, 1], w2: [1, 1, 1, 1] }, { x: [2, 3] });
  t.equal(ops.filter((op) => op === 'matmul').length, 2, 'the forward product of w1 and the gradient of w2');
  t.strictSame([gradient('w1'), gradient('w2')], [undefined, [2, 2, 3, 3]]);
});

t.test('the loss can be scaled by a number or by an input', async (t) => {
  for (const scale of [0.5, undefined]) {
    const g = new Graph();
    accumulateGradients(sum(mul(g.parameter('w', [2]), g.input('x', [2]))), { scale: scale ?? g.input('scale', [1]) });
    t.strictSame(execute(g, { w: [0, 0] }, { x: [4, 6], scale: [0.5] }).gradient('w'), [2, 3]);
  }
});

function headGraph() {
  const g = new Graph();
  const table = g.parameter('table', [3, 2]);
  const { loss, count } = lmHeadLoss(g.input('x', [2, 2]), table, g.input('labels', [2], 'i32'));
  return { g, loss, count };
}
const headInputs = { x: [0.1, 0.2, 0.3, 0.4], labels: [2, -100] };
// Row 0 has logits 0.5, 1.1, 1.7 and label 2; row 1 is ignored.
const headLoss = Math.log(Math.exp(0.5) + Math.exp(1.1) + Math.exp(1.7)) - 1.7;
const headValues = { table: [1, 2, 3, 4, 5, 6] };

t.test('the head computes loss and gradients in one pass', async (t) => {
  const { g, loss, count } = headGraph();
  g.output('loss', loss);
  g.output('count', count);
  accumulateGradients(loss);
  const { ops, outputs } = execute(g, headValues, headInputs);
  t.strictSame(
    ops.filter((op) => op.startsWith('lmHead')),
    ['lmHeadLossGradient'],
  );
  t.ok(Math.abs(outputs.loss![0]! - headLoss) < 1e-12);
  t.strictSame(outputs.count, [1]);
});

t.test('the replaced loss serves later uses that the gradient does not depend on', async (t) => {
  const { g, loss } = headGraph();
  const total = add(loss, square(g.input('extra', [1])));
  g.output('total', total);
  accumulateGradients(total);
  const { ops, outputs } = execute(g, headValues, { ...headInputs, extra: [3] });
  t.strictSame(
    ops.filter((op) => op.startsWith('lmHead')),
    ['lmHeadLossGradient'],
  );
  t.ok(Math.abs(outputs.total![0]! - (headLoss + 9)) < 1e-12);
});

t.test('a gradient that depends on the loss keeps the forward op', async (t) => {
  const { g, loss } = headGraph();
  accumulateGradients(square(loss)); // g = 2 loss
  const { ops, gradient } = execute(g, headValues, headInputs);
  t.strictSame(ops.filter((op) => op.startsWith('lmHead')).sort(), ['lmHeadLoss', 'lmHeadLossGradient']);
  const plain = headGraph();
  plain.g.output('loss', plain.loss);
  accumulateGradients(plain.loss);
  const simple = execute(plain.g, headValues, headInputs);
  const factor = 2 * simple.outputs.loss![0]!;
  gradient('table')!.forEach((value, i) => t.ok(Math.abs(value - factor * simple.gradient('table')![i]!) < 1e-12));
});

t.test('two heads whose losses multiply do not wait for each other', async (t) => {
  const g = new Graph();
  const table = g.parameter('table', [3, 2]);
  const head = (name: string) => lmHeadLoss(g.input(name, [2, 2]), table, g.input('labels', [2], 'i32')).loss;
  const product = mul(head('x'), head('y'));
  g.output('product', product);
  accumulateGradients(product);
  const inputs = { ...headInputs, y: [1, 0, 0, 1] };
  const { gradient, outputs } = execute(g, headValues, inputs);
  t.ok(outputs.product![0]! > 0);
  t.ok(gradient('table')!.every(Number.isFinite) && gradient('table')!.some((value) => value !== 0));
});
