import t, { type Test } from 'tap';
import { accumulateGradients } from '../../lib/engine/autodiff.js';
import { Graph } from '../../lib/engine/graph.js';
import { concat, sum } from '../../lib/engine/ops/index.js';
import { optimizerState } from '../../lib/engine/optim/index.js';
import { ParameterStore } from '../../lib/engine/parameters.js';
import { testDevice } from '../device.js';
import { adamwMoments, momentsOf } from '../moments.js';

async function makeStore(t: Test, precision: 'f32' | 'bf16' = 'f32') {
  const device = await testDevice({ threads: 1 });
  t.teardown(() => device.close());
  const store = new ParameterStore(device, { precision });
  store.keepState(optimizerState('adamw'));
  for (const name of ['a', 'b']) store.declare({ name, shape: [2, 2], workingCopy: true, decay: true });
  return { device, store };
}

const values = (...numbers: number[]) => Float32Array.from(numbers);

/** The working copy of `name`, seen by a program. */
async function workingCopy(store: ParameterStore, name: string): Promise<Float32Array> {
  const g = new Graph();
  g.output('y', g.parameter(name, [2, 2], 'bf16'));
  return (await (await store.device.compile(g, { store })).run()).outputs.y as Float32Array;
}

t.test('declared parameters start as zeros and take memory when used', async (t) => {
  const { store } = await makeStore(t);
  t.strictSame(store.names(), ['a', 'b']);
  t.ok(store.has('a') && !store.has('c'));
  t.match(store.spec('a'), { shape: [2, 2], decay: true });
  t.equal(store.bytes, 0);
  t.strictSame(await store.read('a'), values(0, 0, 0, 0));
  t.equal(store.bytes, 16);
  t.strictSame(adamwMoments(await store.moments('b')), { m: values(0, 0, 0, 0), v: values(0, 0, 0, 0), count: 0 });
  t.equal(store.bytes, 16, 'moments that nobody has written take none');
});

t.test('names and lengths are checked', async (t) => {
  const { store } = await makeStore(t);
  const bad = { code: 'BAD_ARGUMENT' };
  t.throws(() => store.declare({ name: 'a', shape: [1], workingCopy: false, decay: false }), bad);
  t.throws(() => store.declare({ name: 'c', shape: [0], workingCopy: false, decay: false }), { code: 'BAD_SHAPE' });
  await t.rejects(store.read('nobody'), { ...bad, message: /'nobody' is not declared; the store has 2: a, b/ });
  await t.rejects(store.write('a', values(1, 2, 3)), {
    ...bad,
    message: /\[2, 2\] wants a Float32Array of 4; got Float32Array of 3/,
  });
  t.throws(() => store.setCount('a', -1), bad);
  t.throws(() => new ParameterStore(store.device, { precision: 'f16' as 'f32' }), bad);
});

t.test('values are read back exactly, and the working copy follows them', async (t) => {
  const { store } = await makeStore(t, 'bf16');
  const exact = values(1, 1 + 2 ** -20, -3, 2 ** -100);
  t.strictSame(await workingCopy(store, 'a'), values(0, 0, 0, 0));
  await store.write('a', exact);
  t.strictSame(await store.read('a'), exact);
  t.strictSame(await workingCopy(store, 'a'), values(1, 1, -3, 2 ** -100));
  t.ok(store.hasWorkingCopy('a'));
});

t.test('an f32 store has no working copies', async (t) => {
  const { store } = await makeStore(t);
  t.notOk(store.hasWorkingCopy('a'));
  await t.rejects(workingCopy(store, 'a'), { message: /no bf16 working copy/ });
});

t.test('moments and counts are written and read', async (t) => {
  const { store } = await makeStore(t);
  await store.writeMoments('a', momentsOf({ m: values(1, 2, 3, 4), v: values(5, 6, 7, 8), count: 9 }));
  t.strictSame(adamwMoments(await store.moments('a')), { m: values(1, 2, 3, 4), v: values(5, 6, 7, 8), count: 9 });
  store.setCount('a', 3);
  t.equal(store.count('a'), 3);
});

t.test('copies carry values, and moments as asked', async (t) => {
  const { store } = await makeStore(t, 'bf16');
  const reset = async () => {
    await store.write('a', values(1, 2, 3, 4));
    await store.writeMoments('a', momentsOf({ m: values(1, 2, 3, 4), v: values(4, 5, 6, 7), count: 5 }));
    await store.write('b', values(0, 0, 0, 0));
    await store.writeMoments('b', momentsOf({ m: values(9, 9, 9, 9), v: values(8, 8, 8, 8), count: 2 }));
  };
  const expected = [
    ['copy', { m: values(1, 2, 3, 4), v: values(4, 5, 6, 7), count: 5 }],
    ['zero', { m: values(0, 0, 0, 0), v: values(0, 0, 0, 0), count: 0 }],
    ['keep', { m: values(9, 9, 9, 9), v: values(8, 8, 8, 8), count: 2 }],
    [{ scale: 0.5 }, { m: values(0.5, 1, 1.5, 2), v: values(1, 1.25, 1.5, 1.75), count: 5 }],
  ] as const;
  for (const [moments, want] of expected) {
    await reset();
    await store.copy('a', 'b', { moments });
    t.strictSame(await store.read('b'), values(1, 2, 3, 4));
    t.strictSame(await workingCopy(store, 'b'), values(1, 2, 3, 4));
    t.strictSame(adamwMoments(await store.moments('b')), want, JSON.stringify(moments));
    t.strictSame(await store.read('a'), values(1, 2, 3, 4), 'the source stays');
  }
  store.declare({ name: 'c', shape: [3], workingCopy: false, decay: false });
  await t.rejects(store.copy('a', 'c', { moments: 'copy' }), { code: 'BAD_ARGUMENT', message: /differ in size/ });
  store.declare({ name: 'fresh', shape: [2, 2], workingCopy: false, decay: false });
  await store.copy('fresh', 'b', { moments: 'copy' });
  t.strictSame(
    adamwMoments(await store.moments('b')),
    { m: values(0, 0, 0, 0), v: values(0, 0, 0, 0), count: 0 },
    'a source without moments has zeros',
  );
});

t.test('a store keeps one optimizer, and just the slots that it declares', async (t) => {
  const { device, store } = await makeStore(t);
  const other = { optimizer: 'other', of: () => ({ slots: [{ name: 'x', power: 3 }], counted: false }) };
  t.throws(() => store.keepState(other), { code: 'BAD_ARGUMENT', message: /state of adamw, not of other/ });
  await t.rejects(store.writeMoments('a', { slots: [{ name: 'm', values: values(1, 2, 3, 4) }], count: 1 }), {
    code: 'BAD_ARGUMENT',
    message: /keeps m, v of parameter 'a'; got m/,
  });
  const own = new ParameterStore(device);
  for (const name of ['a', 'b']) own.declare({ name, shape: [2], workingCopy: false, decay: false });
  t.strictSame(await own.moments('a'), { slots: [], count: 0 }, 'nothing without an optimizer');
  own.keepState(other);
  await own.writeMoments('a', { slots: [{ name: 'x', values: values(1, -2) }], count: 3 });
  await own.copy('a', 'b', { moments: { scale: 0.5 } });
  t.strictSame(
    await own.moments('b'),
    { slots: [{ name: 'x', power: 3, values: values(0.125, -0.25) }], count: 0 },
    'scaled by the third power; not counted',
  );
});

t.test('gradients add up until they are zeroed', async (t) => {
  const { device, store } = await makeStore(t);
  const g = new Graph();
  accumulateGradients(sum(g.parameter('a', [2, 2]).mul(g.input('x', [2, 2]))));
  const program = await device.compile(g, { store });
  t.strictSame(await store.gradient('b'), values(0, 0, 0, 0), 'without a program there is none');
  await program.run({ x: [1, 2, 3, 4] });
  await program.run({ x: [1, 1, 1, 1] });
  t.strictSame(await store.gradient('a'), values(2, 3, 4, 5));
  await store.zeroGradients();
  t.strictSame(await store.gradient('a'), values(0, 0, 0, 0));
});

t.test('rebuild makes all parameters, and their state, of those before', async (t) => {
  const { device } = await makeStore(t);
  using store = new ParameterStore(device, { precision: 'bf16' });
  store.keepState(optimizerState('adamw'));
  const vector = { workingCopy: false, decay: false };
  store.declare({ name: 'a', shape: [2], ...vector });
  store.declare({ name: 'b', shape: [2], ...vector });
  await store.write('a', values(1, 2));
  await store.write('b', values(3, 4));
  await store.writeMoments('a', momentsOf({ m: values(5, 6), v: values(7, 8), count: 9 }));
  const both = (graph: Graph) => concat([graph.parameter('a', [2]), graph.parameter('b', [2])], 0);
  const ahead = new Graph();
  ahead.output('a', ahead.parameter('a', [2]).mul(2));
  using program = await device.compile(ahead, { store });
  await t.rejects(
    store.rebuild([
      { spec: { name: 'a', shape: [4], ...vector }, value: both, count: 0 },
      { spec: { name: 'b', shape: [3], ...vector }, value: both, count: 0 },
    ]),
    { code: 'BAD_SHAPE', message: /expected f32 \[3\]/ },
  );
  t.same(store.names(), ['a', 'b']);
  t.strictSame(await store.read('a'), values(1, 2), 'nothing has changed');
  await store.rebuild([
    {
      spec: { name: 'a', shape: [2, 2], workingCopy: true, decay: true },
      value: (graph) => both(graph).reshape([2, 2]),
      moment: () => (graph) => both(graph).reshape([2, 2]).mul(0.5),
      count: 9,
    },
    { spec: { name: 'c', shape: [2], ...vector }, value: (graph) => graph.parameter('b', [2]), count: 0 },
  ]);
  t.same(store.names(), ['a', 'c']);
  t.strictSame(await store.read('a'), values(1, 2, 3, 4));
  t.strictSame(adamwMoments(await store.moments('a')), {
    m: values(2.5, 3, 0, 0),
    v: values(3.5, 4, 0, 0),
    count: 9,
  });
  t.strictSame(await store.read('c'), values(3, 4));
  t.strictSame(adamwMoments(await store.moments('c')), { m: values(0, 0), v: values(0, 0), count: 0 });
  const copies = new Graph();
  copies.output('a', copies.parameter('a', [2, 2], 'bf16'));
  using copy = await device.compile(copies, { store });
  t.strictSame((await copy.run({})).outputs['a'], values(1, 2, 3, 4), 'the working copy follows');
  await t.rejects(program.run({}), { code: 'CLOSED' }, 'programs over the old parameters are closed');
});
