import { getEventListeners } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t, { type Test } from 'tap';
import { accumulateGradients } from '../../lib/engine/autodiff.js';
import { Device, nativeOf, openDevice } from '../../lib/engine/device.js';
import { Graph } from '../../lib/engine/graph.js';
import { lower } from '../../lib/engine/lowering.js';
import type { NativeProgram } from '../../lib/engine/native.js';
import { embedding, layerNorm, sum } from '../../lib/engine/ops/index.js';
import { ParameterStore } from '../../lib/engine/parameters.js';
import { RunGroup } from '../../lib/engine/run-group.js';
import { onCpu, testDevice } from '../device.js';
import { referenceDevice } from '../reference/device.js';

async function open(t: Test, options: Parameters<typeof openDevice>[0] = { threads: 2 }): Promise<Device> {
  const device = await testDevice(options);
  t.teardown(() => device.close());
  return device;
}

function doubled(shape: number[] = [2]): Graph {
  const g = new Graph();
  g.output('y', g.input('x', shape).scale(2));
  return g;
}

t.test('a device tells its memory and ops', async (t) => {
  const info = (await open(t)).info();
  const threads = Math.min(2, Number(process.env['OMP_THREAD_LIMIT'] ?? 2));
  t.match(info, onCpu ? { kind: 'cpu', threads } : { kind: 'cuda', threads: 1 });
  t.ok(info.ops.includes('matmul') && info.totalBytes > 0);
});

t.test('bad options are refused', async (t) => {
  await t.rejects(openDevice({ threads: -1 }), { code: 'BAD_ARGUMENT', message: /threads .* got -1/ });
  await t.rejects(openDevice({ kind: 'tpu' as 'cpu' }), {
    code: 'BAD_ARGUMENT',
    message: /'cpu' or 'cuda'; got 'tpu'/,
  });
  await t.rejects(openDevice({ kind: 'cuda', index: -1 }), { code: 'BAD_ARGUMENT', message: /index .* got -1/ });
});

/** The device, and how many native programs it has compiled and freed. */
function counted(device: Device) {
  const counts = { compiled: 0, freed: 0 };
  const native = nativeOf(device);
  const counting = new Device({
    info: () => native.info(),
    createBuffer: (...args) => native.createBuffer(...args),
    releaseArena: () => native.releaseArena(),
    close: () => native.close(),
    compile: async (...args) => {
      counts.compiled++;
      const program = await native.compile(...args);
      const dispose = () => {
        counts.freed++;
        program.dispose();
      };
      const { arenaBytes, unsharedBytes } = program;
      return { arenaBytes, unsharedBytes, run: (inputs, options) => program.run(inputs, options), dispose };
    },
  });
  return { device: counting, counts };
}

t.test('an equal graph with the same store compiles once', async (t) => {
  const { device, counts } = counted(await open(t));
  const first = await device.compile(doubled());
  const same = await device.compile(doubled());
  t.equal(counts.compiled, 1);
  await device.compile(doubled([3]));
  t.equal(counts.compiled, 2);
  await Promise.all([device.compile(doubled([4])), device.compile(doubled([4]))]);
  t.equal(counts.compiled, 3, 'also when asked for at the same time');
  first.dispose();
  first.dispose();
  t.equal(counts.freed, 0);
  t.strictSame([...(await same.run({ x: [1, 2] })).outputs.y!], [2, 4], 'each holder disposes of its own share');
  await t.rejects(first.run({ x: [1, 2] }), { code: 'CLOSED', message: /program was disposed/ });
  same.dispose();
  t.equal(counts.freed, 1, 'the last one frees it');
  const again = await device.compile(doubled());
  t.equal(counts.compiled, 4, 'and then it is compiled again');
  t.strictSame([...(await again.run({ x: [1, 2] })).outputs.y!], [2, 4]);
});

t.test('a program that is disposed of while another caller compiles it stays usable there', async (t) => {
  const device = await open(t);
  const first = await device.compile(doubled());
  const second = device.compile(doubled());
  first.dispose();
  t.strictSame([...(await (await second).run({ x: [1, 2] })).outputs.y!], [2, 4]);
});

t.test('what is closed while a graph is compiled refuses the program', async (t) => {
  const device = await testDevice({ threads: 1 });
  const store = new ParameterStore(device);
  store.declare({ name: 'w', shape: [2], workingCopy: false, decay: false });
  const g = new Graph();
  g.output('y', g.parameter('w', [2]).scale(2));
  const ofStore = device.compile(g, { store });
  store.dispose();
  await t.rejects(ofStore, { code: 'CLOSED' });
  const ofDevice = device.compile(doubled());
  const closed = device.close();
  await t.rejects(ofDevice, { code: 'CLOSED', message: /device is closed/ });
  await closed;
});

t.test('the arena is released on request and reserved by the next run', async (t) => {
  const device = await open(t, { threads: 1 });
  const g = new Graph();
  g.output(
    'y',
    g
      .input('x', [1000])
      .exp()
      .mul(g.input('z', [1000])),
  );
  const program = await device.compile(g);
  const inputs = { x: new Float32Array(1000), z: new Float32Array(1000).fill(3) };
  t.equal((await program.run(inputs)).outputs.y![999], 3);
  t.ok(device.info().arenaBytes > 0);
  await device.releaseArena();
  t.equal(device.info().arenaBytes, 0);
  t.equal((await program.run(inputs)).outputs.y![999], 3);
  t.ok(device.info().arenaBytes > 0);
});

t.test('the device keeps nothing of programs that are disposed of', async (t) => {
  const device = await open(t, { threads: 1 });
  const use = async () => {
    const program = await device.compile(doubled([3]));
    const { inputs } = program; // of the description that the program was compiled from
    program.dispose();
    return new WeakRef(inputs);
  };
  const gone = await use();
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let i = 0; i < 200 && gone.deref(); i++) {
    await setTimeout(5);
    collect();
  }
  t.equal(gone.deref(), undefined, 'its description is garbage');
});

t.test('programs of two stores are two programs', async (t) => {
  const device = await open(t);
  const graph = () => {
    const g = new Graph();
    g.output('y', g.parameter('w', [2]).scale(1));
    return g;
  };
  const stores = [new ParameterStore(device), new ParameterStore(device)];
  const results: number[][] = [];
  for (const [i, store] of stores.entries()) {
    store.declare({ name: 'w', shape: [2], workingCopy: false, decay: false });
    await store.write('w', Float32Array.of(i, i));
    results.push([...(await (await device.compile(graph(), { store })).run()).outputs.y!]);
  }
  t.strictSame(results, [
    [0, 0],
    [1, 1],
  ]);
});

t.test('parameters need a store that fits', async (t) => {
  const device = await open(t);
  const g = new Graph();
  g.output('y', g.parameter('w', [2, 2]).scale(2));
  await t.rejects(device.compile(g), { code: 'BAD_ARGUMENT', message: /parameters \('w'.*pass \{ store \}/ });
  const store = new ParameterStore(device);
  await t.rejects(device.compile(g, { store }), { code: 'BAD_ARGUMENT', message: /'w' is not declared/ });
  store.declare({ name: 'w', shape: [4], workingCopy: false, decay: false });
  await t.rejects(device.compile(g, { store }), {
    code: 'BAD_ARGUMENT',
    message: /\[4\] in the store and \[2, 2\] in the graph/,
  });
  const low = new Graph();
  low.output('y', low.parameter('w', [4], 'bf16').scale(2));
  await t.rejects(device.compile(low, { store }), { code: 'BAD_ARGUMENT', message: /no bf16 working copy/ });
  const other = await open(t);
  await t.rejects(other.compile(g, { store }), { code: 'BAD_ARGUMENT', message: /another device/ });
  await t.rejects(device.compile(new Graph()), { code: 'BAD_ARGUMENT', message: /no output/ });
});

t.test('a run takes the parameters of its own device', async (t) => {
  const g = new Graph();
  g.output('y', g.parameter('w', [2]).scale(2));
  const [one, other] = await Promise.all(
    [1, 2].map(async (value) => {
      const device = await open(t);
      const store = new ParameterStore(device);
      store.declare({ name: 'w', shape: [2], workingCopy: false, decay: false });
      await store.write('w', Float32Array.of(value, value));
      return { device, program: await device.compile(g, { store }), w: store.bind('value', 'w', [2]).buffer };
    }),
  );
  const binding = other!.program.bind((name) => name);
  await t.rejects(one!.program.run({}, { binding }), {
    code: 'BAD_ARGUMENT',
    message: 'run: the binding is of another device',
  });
  const own = one!.program.bind((name) => name);
  t.same([...(await one!.program.run({}, { binding: own })).outputs.y!], [2, 2]);

  const { native } = (one!.program as unknown as { parts: { native: NativeProgram } }).parts;
  t.throws(() => native.run([], { profile: false, buffers: binding.buffers }), /run: buffer 0 is of another device/);
  t.throws(() => one!.w.copyFrom(other!.w), /copyFrom: the source is of another device/);
  const desc = lower(g).desc;
  await t.rejects(nativeOf(one!.device).compile(desc, binding.buffers), /buffer 0 is of another device/);
});

t.test('two parameters of a graph that are one of the store get the sum of both gradients', async (t) => {
  const device = await open(t);
  const store = new ParameterStore(device);
  const [rows, columns] = [70, 24];
  for (const name of ['weight', 'bias', 'both']) {
    store.declare({ name, shape: [columns], workingCopy: false, decay: false });
    await store.write(name, new Float32Array(columns).fill(1));
  }
  const g = new Graph();
  const x = g.input('x', [rows, columns]);
  const y = layerNorm(x, g.parameter('weight', [columns]), g.parameter('bias', [columns]));
  accumulateGradients(sum(y.mul(g.input('z', [rows, columns]))));
  const program = await device.compile(g, { store });
  const values = (seed: number) => Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(seed + 7 * i * i));
  const inputs = { x: values(1), z: values(2) };
  const binding = program.bind(() => 'both');
  for (let run = 1; run <= 3; run++) {
    await program.run(inputs);
    await program.run(inputs, { binding });
    const [weight, bias, both] = await Promise.all(['weight', 'bias', 'both'].map((name) => store.gradient(name)));
    const error = Math.max(...both!.map((value, i) => Math.abs(value - weight![i]! - bias![i]!)));
    t.ok(error < 1e-4, `after ${run} runs the difference is ${error}`);
  }
});

t.test('a missing kernel is an error of compilation', async (t) => {
  const device = new Device(referenceDevice({ missing: ['scale'] }));
  await t.rejects(device.compile(doubled()), { code: 'NO_KERNEL', message: /scale/ });
});

t.test('a program that does not fit is refused with both figures', async (t) => {
  const device = await open(t, { threads: 1, memoryLimitBytes: 2 ** 20 });
  const g = new Graph();
  g.output(
    'y',
    sum(
      g
        .input('x', [512, 512])
        .exp()
        .mul(g.input('z', [512, 512])),
    ),
  );
  await t.rejects(device.compile(g), { code: 'OUT_OF_MEMORY', message: /MiB.*MiB/ });
  const store = new ParameterStore(device);
  store.declare({ name: 'w', shape: [1024, 1024], workingCopy: false, decay: false });
  await t.rejects(store.write('w', new Float32Array(1024 * 1024)), { code: 'OUT_OF_MEMORY', message: /MiB/ });
  t.strictSame(
    [...(await (await device.compile(doubled())).run({ x: [1, 2] })).outputs.y!],
    [2, 4],
    'the device still works',
  );
});

t.test('inputs are checked against the program', async (t) => {
  const device = await open(t);
  const g = new Graph();
  g.output('y', embedding(g.input('table', [4, 2]), g.input('ids', [3], 'i32')));
  const program = await device.compile(g);
  const table = new Float32Array(8);
  const refused = (inputs: object, message: RegExp) =>
    t.rejects(program.run(inputs as never), { code: 'BAD_ARGUMENT', message });
  await refused({ table }, /inputs \[table, ids\]; missing: ids/);
  await refused({ table, ids: [1, 2, 3], id: [1] }, /unknown: id/);
  await refused({ table, ids: [1, 2] }, /input 'ids' wants 3 i32 elements \[3\]; got 2/);
  await refused({ table, ids: [1, 2, 0.5] }, /got 0.5 at position 2/);
  await refused({ table, ids: [1, 2 ** 32, 0] }, /got 4294967296 at position 1/);
  await refused({ table, ids: new Float32Array(3) }, /a Float32Array; pass Int32Array/);
  await refused({ table, ids: 'abc' }, /got string/);
  await refused({ table, ids: [0, 1, 9] }, /embedding: ids\[2\] is 9/);
  t.strictSame(
    (await program.run({ table: [0, 1, 2, 3, 4, 5, 6, 7], ids: [3, 0, 3] })).outputs.y,
    Float32Array.of(6, 7, 0, 1, 6, 7),
  );
});

t.test('bf16 goes in as f32 or bits and comes out as f32', async (t) => {
  const device = await open(t);
  const g = new Graph();
  g.output('y', g.input('x', [2], 'bf16').scale(2));
  const program = await device.compile(g);
  for (const x of [[1, -3], Float32Array.of(1, -3), Uint16Array.of(0x3f80, 0xc040)]) {
    t.strictSame((await program.run({ x })).outputs.y, Float32Array.of(2, -6));
  }
});

t.test('runs queue and keep their order', async (t) => {
  const device = await open(t);
  const store = new ParameterStore(device);
  store.declare({ name: 'w', shape: [1], workingCopy: false, decay: false });
  const g = new Graph();
  accumulateGradients(sum(g.parameter('w', [1]).mul(g.input('x', [1]))));
  const program = await device.compile(g, { store });
  const runs = [1, 2, 3, 4].map((x) => program.run({ x: [x] }));
  const after = store.gradient('w');
  await Promise.all(runs);
  t.strictSame(await after, Float32Array.of(10));
});

t.test('a run can be cancelled before and while it waits', async (t) => {
  const device = await open(t);
  const program = await device.compile(doubled());
  await t.rejects(program.run({ x: [1, 2] }, { signal: AbortSignal.abort() }), { code: 'ABORT_ERR' });
  const g = new Graph();
  let y = g.input('x', [400, 400]);
  for (let i = 0; i < (onCpu ? 60 : 4); i++) y = y.matmul(y).scale(1e-3);
  g.output('y', sum(y));
  const slow = await device.compile(g);
  const controller = new AbortController();
  const first = slow.run({ x: new Float32Array(160000) }, { signal: controller.signal });
  const second = slow.run({ x: new Float32Array(160000) }, { signal: controller.signal });
  controller.abort();
  // A GPU may have been given all of the first run by then.
  if (onCpu) await t.rejects(first, { code: 'ABORT_ERR' });
  else await first.catch(() => undefined);
  await t.rejects(second, { code: 'ABORT_ERR' });
  t.strictSame((await program.run({ x: [1, 2] })).outputs.y, Float32Array.of(2, 4), 'the device still works');
});

t.test('a run that is refused stops its group, and one by itself lets go of its signal', async (t) => {
  const device = await open(t);
  const program = await device.compile(doubled());
  const group = new RunGroup();
  await t.rejects(program.run({ x: [1] }, { group }), { code: 'BAD_ARGUMENT' });
  t.ok(group.stopped);
  await t.rejects(program.run({ x: [1, 2] }, { group }), { code: 'ABORT_ERR' });
  group.dispose();
  const { signal } = new AbortController();
  await t.rejects(program.run({ x: [1] }, { signal }), { code: 'BAD_ARGUMENT' });
  t.equal(getEventListeners(signal, 'abort').length, 0);
});

t.test('a profile names every instruction', async (t) => {
  const device = await open(t);
  const program = await device.compile(doubled());
  const { profile } = await program.run({ x: [1, 2] }, { profile: true });
  t.match(profile, [{ op: 'scale', name: 'f32 [2]' }]);
  t.ok(profile![0]!.ns > 0);
  t.equal((await program.run({ x: [1, 2] })).profile, undefined);
});

t.test('memory is known before the first run, and shared by lifetime', async (t) => {
  const device = await open(t);
  const store = new ParameterStore(device);
  store.declare({ name: 'w', shape: [256, 256], workingCopy: false, decay: false });
  const g = new Graph();
  let x = g.input('x', [256, 256]);
  for (let i = 0; i < 8; i++) x = x.mul(g.parameter('w', [256, 256])).exp();
  g.output('y', sum(x));
  const { memory } = await device.compile(g, { store });
  t.equal(memory.parameterBytes, 4 * 256 * 256);
  t.ok(memory.arenaBytes < memory.unsharedBytes / 3, `${memory.arenaBytes} of ${memory.unsharedBytes}`);
});

t.test('memory that nobody holds comes back with garbage collection', async (t) => {
  const device = await open(t, { threads: 1 });
  const megabyte = 2 ** 20;
  const use = async () => {
    const store = new ParameterStore(device);
    store.declare({ name: 'w', shape: [megabyte / 4], workingCopy: false, decay: false });
    const g = new Graph();
    g.output('y', sum(g.parameter('w', [megabyte / 4])));
    await (await device.compile(g, { store })).run();
  };
  for (let i = 0; i < 12; i++) await use();
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let i = 0; i < 500 && device.info().bufferBytes > 2 * megabyte; i++) {
    collect();
    await setTimeout(10);
  }
  t.ok(device.info().bufferBytes <= 2 * megabyte, `${device.info().bufferBytes} bytes are left of 12 MiB`);
});

t.test('after closing, everything says so', async (t) => {
  const device = await testDevice({ threads: 1 });
  const store = new ParameterStore(device);
  store.declare({ name: 'w', shape: [2], workingCopy: false, decay: false });
  const g = new Graph();
  g.output('y', g.parameter('w', [2]).scale(2));
  const bound = await device.compile(g, { store });
  const program = await device.compile(doubled());
  const queued = program.run({ x: [1, 2] });
  await device.close();
  await device.close();
  t.strictSame((await queued).outputs.y, Float32Array.of(2, 4), 'what was queued is finished');
  const closed = { code: 'CLOSED' };
  await t.rejects(program.run({ x: [1, 2] }), closed);
  await t.rejects(bound.run(), closed);
  await t.rejects(device.compile(doubled()), closed);
  await t.rejects(store.read('w'), closed);
  t.throws(() => device.info(), closed);
});

t.test('a disposed program or store says so', async (t) => {
  const device = await open(t);
  const store = new ParameterStore(device);
  store.declare({ name: 'w', shape: [2], workingCopy: false, decay: false });
  store.declare({ name: 'v', shape: [2], workingCopy: false, decay: false });
  const graph = (name: string) => {
    const g = new Graph();
    g.output('y', g.parameter(name, [2]).scale(2));
    return g;
  };
  const [w, v] = [await device.compile(graph('w'), { store }), await device.compile(graph('v'), { store })];
  store.remove('w');
  await t.rejects(w.run(), { code: 'CLOSED', message: /'w' was removed/ });
  store.declare({ name: 'w', shape: [2], workingCopy: false, decay: false });
  await store.write('w', Float32Array.of(3, 4));
  t.strictSame(
    (await (await device.compile(graph('w'), { store })).run()).outputs.y,
    Float32Array.of(6, 8),
    'compiled again',
  );
  store.dispose();
  await t.rejects(v.run(), { code: 'CLOSED', message: /store was disposed/ });
  await t.rejects(device.compile(graph('v'), { store }), { code: 'CLOSED' });
  const program = await device.compile(doubled());
  program.dispose();
  await t.rejects(program.run({ x: [1, 2] }), { code: 'CLOSED', message: /program was disposed/ });
});
