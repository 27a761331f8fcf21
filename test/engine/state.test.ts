import t from 'tap';
import { Graph, ParameterStore, StateStore, type Tensor } from '../../lib/engine/index.js';
import { lower } from '../../lib/engine/lowering.js';
import { type AttentionCache, appendToCache, cachedAttention } from '../../lib/engine/ops/index.js';
import { testDevice } from '../device.js';

const device = await testDevice({ threads: 1 });
t.teardown(() => device.close());

const [batch, length, width] = [2, 4, 3];

/** A graph that appends one token a sequence to a cache of two states. */
function appending(): { graph: Graph; cache: AttentionCache; before: AttentionCache; qkv: Tensor; positions: Tensor } {
  const graph = new Graph();
  const qkv = graph.input('qkv', [batch, 1, 3 * width]);
  const positions = graph.input('positions', [batch, 1], 'i32');
  const before = {
    keys: graph.state('keys', [batch, length, width]),
    values: graph.state('values', [batch, length, width]),
  };
  return { graph, before, qkv, positions, cache: appendToCache(qkv, before, positions) };
}

t.test('a program changes its states, and the next run finds them so', async (t) => {
  const { graph } = appending();
  using states = new StateStore(device);
  const program = await device.compile(graph, { states });
  t.same(states.names(), ['keys', 'values']);
  t.equal(states.bytes, 2 * batch * length * width * 4);
  t.equal(program.memory.parameterBytes, states.bytes);
  t.ok(
    (await states.read('keys')).every((value) => value === 0),
    'zeros at first',
  );
  const row = (first: number) => Array.from({ length: 9 }, (_, i) => first + i);
  await program.run({ qkv: [...row(1), ...row(11)], positions: [0, 2] });
  await program.run({ qkv: [...row(21), ...row(31)], positions: [1, 3] });
  t.same(
    [...(await states.read('keys'))],
    [4, 5, 6, 24, 25, 26, 0, 0, 0, 0, 0, 0, ...Array(6).fill(0), 14, 15, 16, 34, 35, 36],
  );
  t.same([...(await states.read('values'))].slice(0, 6), [7, 8, 9, 27, 28, 29]);
});

t.test('two programs share the states of one store; another store has its own', async (t) => {
  using states = new StateStore(device);
  using others = new StateStore(device);
  const write = await device.compile(appending().graph, { states });
  const reading = new Graph();
  reading.output('keys', reading.state('keys', [batch, length, width]).scale(2));
  const read = await device.compile(reading, { states });
  const elsewhere = await device.compile(reading, { states: others });
  t.not(read, elsewhere);
  const again = await device.compile(reading, { states });
  t.not(again, read);
  again.dispose(); // the share of this holder alone
  await write.run({ qkv: new Float32Array(18).fill(3), positions: [0, 0] });
  t.same([...(await read.run()).outputs.keys!.slice(0, 4)], [6, 6, 6, 0]);
  t.ok((await elsewhere.run()).outputs.keys!.every((value) => value === 0));
});

t.test('states can be written and read, bf16 as f32', async (t) => {
  const graph = new Graph();
  graph.output('y', graph.state('x', [2], 'bf16').scale(1));
  using states = new StateStore(device);
  const program = await device.compile(graph, { states });
  await states.write('x', Float32Array.of(1.5, -2));
  t.same([...(await program.run()).outputs.y!], [1.5, -2]);
  t.same([...(await states.read('x'))], [1.5, -2]);
  await t.rejects(states.write('x', Float32Array.of(1)), { message: /wants Float32Array of 2; got Float32Array of 1/ });
  await t.rejects(states.write('x', Int32Array.of(1, 2)), { message: /got Int32Array/ });
  await t.rejects(states.read('z'), { code: 'BAD_ARGUMENT', message: /state 'z' is not there; the store has x/ });
});

t.test(
  'an op in place runs though nothing reads its result, writes into the buffer, and shows it as an output',
  async (t) => {
    const { graph, cache } = appending();
    const { desc, buffers } = lower(graph);
    t.same(buffers, [
      { kind: 'state', name: 'keys', shape: [batch, length, width], dtype: 'f32' },
      { kind: 'state', name: 'values', shape: [batch, length, width], dtype: 'f32' },
    ]);
    t.same(
      desc.instructions.map(({ op, inputs, outputs }) => [op, outputs.join() === inputs.slice(1, 3).join()]),
      [['appendToCache', true]],
    );
    t.ok(
      desc.values.every(({ storage }) => storage !== 'arena'),
      'no memory of its own',
    );
    graph.output('keys', cache.keys);
    t.same(
      lower(graph).desc.instructions.map(({ op }) => op),
      ['appendToCache', 'copy'],
      'an output is a copy of the changed state',
    );
  },
);

t.test('a state as it was before a change cannot be read after it', async (t) => {
  const { graph, before, qkv, positions } = appending();
  graph.output('o', cachedAttention(qkv, before, positions, { heads: 1 }));
  t.throws(() => lower(graph), { code: 'BAD_ARGUMENT', message: /was changed by appendToCache and is read later/ });
});

t.test('an op in place needs a state', async (t) => {
  const graph = new Graph();
  const x = (name: string) => graph.input(name, [batch, length, width]);
  const qkv = graph.input('qkv', [batch, 1, 3 * width]);
  appendToCache(qkv, { keys: x('keys'), values: x('values') }, graph.input('positions', [batch, 1], 'i32'));
  t.throws(() => lower(graph), { code: 'BAD_ARGUMENT', message: /appendToCache works in place and .* is not a state/ });
});

t.test('stores that are missing, closed, of another shape or device are named', async (t) => {
  const { graph } = appending();
  await t.rejects(device.compile(graph), {
    code: 'BAD_ARGUMENT',
    message: /has states \('keys', …\); pass \{ states \}/,
  });
  const states = new StateStore(device);
  const program = await device.compile(graph, { states });
  const wider = new Graph();
  wider.output('y', wider.state('keys', [9]).scale(1));
  await t.rejects(device.compile(wider, { states }), {
    message: /state 'keys' is f32 \[2, 4, 3\] in the store and f32 \[9\]/,
  });
  const parameter = new Graph();
  parameter.output('y', parameter.parameter('w', [9]));
  await t.rejects(device.compile(parameter, { states }), { message: /has parameters \('w', …\); pass \{ store \}/ });
  states.dispose();
  await t.rejects(program.run({ qkv: new Float32Array(18), positions: [0, 0] }), { code: 'CLOSED' });
  await t.rejects(device.compile(graph, { states }), { code: 'CLOSED', message: /states were disposed/ });
  await t.rejects(states.read('keys'), { code: 'CLOSED' });
  const other = await testDevice({ threads: 1 });
  await t.rejects(device.compile(graph, { states: new StateStore(other) }), { message: /belong to another device/ });
  await other.close();
});

t.test('graphs with equal states and other parameters are other programs', async (t) => {
  const graph = new Graph();
  graph.output('y', graph.state('x', [1]).add(graph.parameter('w', [1])));
  using states = new StateStore(device);
  const results: number[] = [];
  for (const value of [1, 2]) {
    using store = new ParameterStore(device);
    store.declare({ name: 'w', shape: [1], workingCopy: false, decay: false });
    await store.write('w', Float32Array.of(value));
    const program = await device.compile(graph, { store, states });
    results.push((await program.run()).outputs.y![0]!);
  }
  t.same(results, [1, 2]);
});

t.test('a position outside the cache is refused, and so are shapes that do not fit', async (t) => {
  const { graph } = appending();
  using states = new StateStore(device);
  const program = await device.compile(graph, { states });
  const qkv = new Float32Array(18);
  await t.rejects(program.run({ qkv, positions: [0, 4] }), {
    message: /appendToCache: positions\[1\] is 4; expected 0 <= value < 4/,
  });
  const g = new Graph();
  const cache = { keys: g.state('k', [2, 4, 3]), values: g.state('v', [2, 4, 3]) };
  const positions = (shape: number[]) => g.input(`positions ${shape}`, shape, 'i32');
  const packed = (shape: number[]) => g.input(`qkv ${shape}`, shape);
  t.throws(() => appendToCache(packed([2, 1, 6]), cache, positions([2, 1])), {
    code: 'BAD_SHAPE',
    message: /needs qkv \[B, T, 3C\]/,
  });
  t.throws(() => appendToCache(packed([3, 1, 9]), cache, positions([3, 1])), {
    message: /qkv has 3 sequences and the cache 2/,
  });
  t.throws(() => appendToCache(packed([2, 5, 9]), cache, positions([2, 5])), {
    message: /5 tokens do not fit a cache of 4/,
  });
  t.throws(() => appendToCache(packed([2, 1, 9]), cache, positions([2, 2])), {
    message: /positions must be i32 \[2, 1\]/,
  });
  t.throws(() => cachedAttention(packed([1, 1, 9]), cache, positions([1, 1]), { heads: 1 }), {
    message: /1 sequences and the cache 2/,
  });
  t.throws(() => cachedAttention(packed([2, 1, 9]), cache, positions([2, 1]), { heads: 2 }), {
    message: /does not divide into 2 heads/,
  });
});
