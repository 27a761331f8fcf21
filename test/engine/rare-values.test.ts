/** What programs do with values that are rare: NaN, a position named twice, probabilities next to 0 and 1, sizes beyond any memory. */
import t from 'tap';
import { Graph, openDevice, RunGroup, StateStore } from '../../lib/engine/index.js';
import { appendToCache, attention, cast, dropout } from '../../lib/engine/ops/index.js';
import { testDevice } from '../device.js';

const device = await testDevice({ threads: 2 });
t.teardown(() => device.close());

t.test('a query of NaN gives NaN for any number of keys', async (t) => {
  for (const keys of [1, 2, 3, 16, 17, 18, 19, 33]) {
    const graph = new Graph();
    const shape = [1, keys, 8];
    const [q, k, v] = ['q', 'k', 'v'].map((name) => graph.input(name, shape));
    graph.output('o', attention({ q: q!, k: k!, v: v! }, { heads: 1, causal: true }));
    const ones = new Float32Array(8 * keys).fill(1);
    const odd = ones.slice();
    odd.fill(Number.NaN, 8 * (keys - 1));
    using program = await device.compile(graph);
    const { outputs } = await program.run({ q: odd, k: ones, v: ones });
    const last = [...outputs['o']!.slice(8 * (keys - 1))];
    t.ok(last.every(Number.isNaN), `${keys} keys: ${last}`);
    t.ok([...outputs['o']!.slice(0, 8 * (keys - 1))].every((value) => value === 1));
  }
});

t.test('NaN is 0 as an i32, and what is too large the nearest', async (t) => {
  const graph = new Graph();
  graph.output('y', cast(graph.input('x', [5]), 'i32'));
  using program = await device.compile(graph);
  const { outputs } = await program.run({ x: [Number.NaN, -Number.NaN, 1e10, -1e10, -2.7] });
  t.same([...outputs['y']!], [0, 0, 2147483647, -2147483648, -2]);
  for (const value of [1e10, 0.5, Number.NaN])
    t.throws(() => new Graph().constant(value, [1], 'i32'), { code: 'BAD_ARGUMENT' }, String(value));
  t.ok(new Graph().constant(-2147483648, [1], 'i32'));
});

t.test('of tokens at one position the last one stays', async (t) => {
  const [tokens, width] = [64, 1024];
  const graph = new Graph();
  const state = (name: string) => graph.state(name, [1, tokens, width]);
  const cache = { keys: state('keys'), values: state('values') };
  appendToCache(graph.input('qkv', [1, tokens, 3 * width]), cache, graph.input('at', [1, tokens], 'i32'));
  using states = new StateStore(device);
  using program = await device.compile(graph, { states });
  const qkv = Float32Array.from({ length: tokens * 3 * width }, (_, i) => Math.floor(i / (3 * width)));
  await program.run({ qkv, at: new Int32Array(tokens).fill(3) });
  const row = (await states.read('keys')).subarray(3 * width, 4 * width);
  t.ok(row.every((value) => value === tokens - 1));
});

t.test('dropout with a probability next to 0 drops some elements, next to 1 keeps some', async (t) => {
  const shape = [1024, 1024];
  const graph = new Graph();
  const x = graph.constant(1, shape);
  graph.output('most', dropout(x, 1e-9));
  graph.output('few', dropout(x, 1 - 1e-9));
  using program = await device.compile(graph);
  const { outputs } = await program.run({ rng: [1, 2, 3, 4] });
  const zeros = (values: ArrayLike<number>) => Array.from(values).filter((value) => value === 0).length;
  const [dropped, kept] = [zeros(outputs['most']!), shape[0]! * shape[1]! - zeros(outputs['few']!)];
  t.ok(dropped > 4 && dropped < 64, `${dropped} dropped; 16 are expected`);
  t.ok(kept > 4 && kept < 64, `${kept} kept; 16 are expected`);
  t.ok(outputs['few']!.every((value) => value === 0 || value === 65536));
});

t.test('sizes whose sum is beyond any memory, and threads beyond any machine, are refused', async (t) => {
  const graph = new Graph();
  for (let i = 0; i < 300; i++) graph.output(`y${i}`, graph.constant(i, [2 ** 25, 2 ** 25]));
  await t.rejects(device.compile(graph), /more than 2\^60 bytes|memory/);
  await t.rejects(openDevice({ threads: 100_000 }), { code: 'BAD_ARGUMENT', message: /threads must be at most \d+/ });
});

t.test('a profiled run that is stopped before it starts, or while it runs, is cancelled', async (t) => {
  const graph = new Graph();
  let x = graph.input('x', [256, 256]);
  for (let i = 0; i < 400; i++) x = x.scale(1.5);
  graph.output('y', x);
  using program = await device.compile(graph);
  const stop = new AbortController();
  stop.abort();
  const inputs = { x: new Float32Array(256 * 256) };
  await t.rejects(program.run(inputs, { profile: true, signal: stop.signal }), { code: 'ABORT_ERR' });
  const group = new RunGroup();
  group.stop();
  await t.rejects(program.run(inputs, { profile: true, group }), { code: 'ABORT_ERR' });
  group.dispose();
});
