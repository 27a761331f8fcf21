import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import {
  loadAddon,
  type NativeDevice,
  type NativeDeviceOptions,
  type NativeProgramDesc,
} from '../../lib/engine/native.js';

const addon = loadAddon();
const openWith = (options: Partial<NativeDeviceOptions>) =>
  addon.openDevice({
    kind: 'cpu',
    threads: 1,
    index: 0,
    tf32: false,
    matmulCache: '',
    memoryLimitBytes: 0,
    ...options,
  });
const open = (threads = 1, memoryLimitBytes = 0) => openWith({ threads, memoryLimitBytes });

/** y = x @ x, `repeats` times over, from an input to an output. */
function squares(size: number, repeats: number): NativeProgramDesc {
  const shape = [size, size];
  return {
    values: [
      { dtype: 'f32', shape, storage: 'input', slot: 0 },
      { dtype: 'f32', shape, storage: 'output', slot: 0 },
    ],
    instructions: Array.from({ length: repeats }, () => ({
      op: 'matmul',
      inputs: [0, 0],
      outputs: [1],
      attrs: { transA: false, transB: false, hasBias: false, activation: 'none' },
    })),
  };
}

/** Row `ids[0]` of a table of four rows, all zeros. */
function gather(): NativeProgramDesc {
  return {
    values: [
      { dtype: 'f32', shape: [4, 2], storage: 'arena', slot: 0 },
      { dtype: 'i32', shape: [1], storage: 'input', slot: 0 },
      { dtype: 'f32', shape: [1, 2], storage: 'output', slot: 0 },
    ],
    instructions: [
      { op: 'fill', inputs: [], outputs: [0], attrs: { value: 0 } },
      { op: 'gatherRows', inputs: [0, 1], outputs: [2], attrs: {} },
    ],
  };
}

async function withDevice(body: (device: NativeDevice) => Promise<void>, threads = 1, limit = 0) {
  const device = open(threads, limit);
  try {
    await body(device);
  } finally {
    await device.close();
  }
}

t.test('a buffer starts as zeros and gives back what was written', (t) =>
  withDevice(async (device) => {
    const buffer = device.createBuffer('f32', 6);
    t.same([...(await buffer.read(0, 6))], [0, 0, 0, 0, 0, 0]);
    await buffer.write(Float32Array.of(1, 2, 3), 2);
    t.same([...(await buffer.read(1, 4))], [0, 1, 2, 3]);
    t.equal(device.info().bufferBytes, 24);
    buffer.dispose();
    // The device's thread may hold the buffer for a moment after it has answered.
    for (let tries = 0; device.info().bufferBytes > 0 && tries < 2000; tries++) {
      await new Promise((done) => setTimeout(done, 1));
    }
    t.equal(device.info().bufferBytes, 0);
    t.throws(() => buffer.bytes, { code: 'APOLLO_CLOSED' });
  }),
);

t.test('writes outside a buffer and arrays of another type are refused', (t) =>
  withDevice(async (device) => {
    const buffer = device.createBuffer('f32', 4);
    t.throws(() => buffer.write(Float32Array.of(1, 2), 3), /outside the buffer/);
    t.throws(() => buffer.read(2, 3), /outside the buffer/);
    t.throws(() => buffer.write(Int32Array.of(1), 0), /typed array for f32/);
  }),
);

t.test('objects of another class, or none, are refused', (t) =>
  withDevice(async (device) => {
    const buffer = device.createBuffer('f32', 4);
    const program = await device.compile(squares(2, 1), []);
    for (const other of [program, device, {}, Object.create(buffer), null, undefined, 7]) {
      t.throws(() => buffer.copyFrom(other as never), /copyFrom: the source must be a NativeBuffer/);
      t.throws(() => device.compile(squares(2, 1), [other as never]), /each buffer must be a NativeBuffer/);
    }
    for (const [from, name] of [
      [buffer, 'bytes'],
      [program, 'arenaBytes'],
    ] as const) {
      const get = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(from), name)!.get!;
      t.type(get.call(from), 'number');
      for (const other of [device, {}, undefined, from === buffer ? program : buffer]) {
        t.throws(() => get.call(other), /the receiver must be a Native/);
      }
    }
    t.throws(() => buffer.read.call(program, 0, 1), TypeError);
    for (const made of [device, buffer, program]) {
      const Class = made.constructor as new () => unknown;
      t.throws(() => new Class(), /made by the engine and not with new/);
    }
  }),
);

t.test('sizes and places are checked before they are calculated with', (t) =>
  withDevice(async (device) => {
    const buffer = device.createBuffer('f32', 4);
    const wrong = [-1, -(2 ** 62), 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '1', null] as number[];
    for (const size of wrong) {
      t.throws(() => device.createBuffer('f32', size), /createBuffer: elements must be a whole number/, `${size}`);
      t.throws(() => buffer.write(Float32Array.of(1), size), /write: offset must be a whole number/, `${size}`);
      t.throws(() => buffer.read(size, 1), /read: offset must be a whole number/, `${size}`);
      t.throws(() => buffer.read(0, size), /read: count must be a whole number/, `${size}`);
      const limited = () => openWith({ memoryLimitBytes: size });
      t.throws(limited, /memoryLimitBytes must be a whole number/, `${size}`);
      const shaped = squares(2, 1);
      const values = shaped.values.map((value) => ({ ...value, shape: [size, 2] }));
      t.throws(() => device.compile({ ...shaped, values }, []), /a dimension must be a whole number/, `${size}`);
      const slots = shaped.values.map((value) => ({ ...value, slot: size }));
      t.throws(() => device.compile({ ...shaped, values: slots }, []), /slot/, `${size}`);
      t.throws(() => addon.planMemory([{ bytes: size, first: 0, last: 0 }]), /bytes must be a whole number/, `${size}`);
    }
    const vast = squares(2, 1).values.map((value) => ({ ...value, shape: [2 ** 40, 2 ** 40] }));
    t.throws(() => device.compile({ ...squares(2, 1), values: vast }, []), /more than 2\^50 elements/);
    t.throws(() => device.createBuffer('f32', 2 ** 53 - 1), { code: 'APOLLO_OUT_OF_MEMORY' });
    t.throws(() => buffer.read(2 ** 53 - 1, 2 ** 53 - 1), /outside the buffer/);
  }),
);

t.test('a flag that stops a run is shared memory', (t) =>
  withDevice(async (device) => {
    const program = await device.compile(squares(2, 1), []);
    const x = new Float32Array(4);
    const shared = new SharedArrayBuffer(8);
    for (const stopped of [new Int32Array(1), new Int32Array(shared, 0, 0), new Float32Array(shared), {}, null]) {
      t.throws(() => program.run([x], { profile: false, stopped: stopped as never }), /stopped/);
    }
    await program.run([x], { profile: false, stopped: new Int32Array(shared) });
  }),
);

t.test('an op without a kernel is named with its shapes when the program is compiled', (t) =>
  withDevice(async (device) => {
    const desc: NativeProgramDesc = {
      values: [{ dtype: 'bf16', shape: [2, 3], storage: 'output', slot: 0 }],
      instructions: [{ op: 'fold', inputs: [], outputs: [0], attrs: {} }],
    };
    await t.rejects(device.compile(desc, []), {
      code: 'APOLLO_NO_KERNEL',
      message: /op 'fold' has no kernel on cpu .*bf16\[2, 3\]/,
    });
  }),
);

t.test('memory beyond the limit is refused with both figures', (t) =>
  withDevice(
    async (device) => {
      t.throws(() => device.createBuffer('f32', 1 << 20), {
        code: 'APOLLO_OUT_OF_MEMORY',
        message: /needs 4\.0 MiB more on cpu, 0\.0 MiB of 1\.0 MiB are in use/,
      });
      device.createBuffer('f32', 1000);
    },
    1,
    1 << 20,
  ),
);

t.test('a run is right, is timed, and leaves the event loop free', (t) =>
  withDevice(async (device) => {
    const size = 512;
    const program = await device.compile(squares(size, 200), []);
    const x = new Float32Array(size * size).map((_, i) => (i % 7) - 3);
    let ticks = 0;
    const timer = setInterval(() => ++ticks, 1);
    const { outputs, elapsedMs, profile } = await program.run([x], { profile: true });
    clearInterval(timer);
    let expected = 0;
    for (let k = 0; k < size; ++k) expected += x[3 * size + k]! * x[k * size + 5]!;
    t.equal(outputs[0]![3 * size + 5], expected);
    t.equal(profile?.length, 200);
    t.ok(elapsedMs > 5);
    t.ok(ticks > 3, `a timer fired ${ticks} times during a run of ${elapsedMs} ms`);
  }),
);

t.test('a cancelled run rejects, and the device still works', (t) =>
  withDevice(async (device) => {
    const size = 512;
    const program = await device.compile(squares(size, 3000), []);
    const x = new Float32Array(size * size).fill(1);
    const stopped = new Int32Array(new SharedArrayBuffer(4));
    const run = program.run([x], { profile: false, stopped });
    setTimeout(() => Atomics.store(stopped, 0, 1), 20);
    await t.rejects(run, { code: 'APOLLO_ABORTED' });
    const short = await device.compile(squares(size, 1), []);
    t.equal((await short.run([x], { profile: false })).outputs[0]![0], size);
  }),
);

t.test('a run that fails stops those of its group; a whole run is stopped only before it begins', (t) =>
  withDevice(async (device) => {
    const size = 256;
    // The whole run takes several times as long as its start, even where this process waits for a processor.
    const long = await device.compile(squares(size, 2000), []);
    const x = new Float32Array(size * size).fill(1);
    const group = () => new Int32Array(new SharedArrayBuffer(4));

    const stopped = group();
    const before = (await device.compile(squares(size, 1), [])).run([x], { profile: false });
    const whole = long.run([x], { profile: false, stopped, whole: true });
    const behind = long.run([x], { profile: false, stopped, whole: true });
    await before;
    setTimeout(() => Atomics.store(stopped, 0, 1), 50);
    t.ok(await whole, 'it had started');
    await t.rejects(behind, { code: 'APOLLO_ABORTED' });

    const rows = await device.compile(gather(), []);
    const own = group();
    const fails = rows.run([Int32Array.of(7)], { profile: false, stopped: own });
    const refused = rows.run([Int32Array.of(1)], { profile: false, stopped: own });
    const other = rows.run([Int32Array.of(1)], { profile: false, stopped: group() });
    const [failed, stoppedRun] = await Promise.allSettled([fails, refused]);
    t.match(failed, { status: 'rejected', reason: { message: /7/ } });
    t.match(stoppedRun, { status: 'rejected', reason: { code: 'APOLLO_ABORTED' } });
    t.equal((await other).outputs[0]![0], 0);
    t.equal(own[0], 2, 'as one that has failed');
  }),
);

t.test('a run tells for how long the device had nothing to do', (t) =>
  withDevice(async (device) => {
    const program = await device.compile(squares(256, 100), []);
    const x = new Float32Array(256 * 256).fill(1);
    await program.run([x], { profile: false });
    await new Promise((done) => setTimeout(done, 30));
    const [first, second] = [program.run([x], { profile: false }), program.run([x], { profile: false })];
    t.ok((await first).waitedMs > 20);
    t.equal((await second).waitedMs, 0, 'it was queued behind the first');
  }),
);

t.test('a new buffer holds zeros, also in used memory', (t) =>
  withDevice(async (device) => {
    for (let i = 0; i < 8; i++) {
      const buffer = device.createBuffer('f32', 300_000);
      t.ok((await buffer.read(0, 300_000)).every((value) => value === 0));
      await buffer.write(new Float32Array(300_000).fill(i + 1), 0);
      buffer.dispose();
    }
  }),
);

t.test('runs queue in order and close() waits for them', async (t) => {
  const device = open();
  const program = await device.compile(squares(64, 1), []);
  const order: number[] = [];
  const runs = [1, 2, 3].map((value) =>
    program
      .run([new Float32Array(64 * 64).fill(value)], { profile: false })
      .then(({ outputs }) => order.push(outputs[0]![0]!)),
  );
  await device.close();
  await Promise.all(runs);
  t.same(order, [64, 256, 576]);
  await t.rejects(program.run([new Float32Array(64 * 64)], { profile: false }), { code: 'APOLLO_CLOSED' });
});

t.test('buffers and programs that are collected give their memory back', async (t) => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  await withDevice(async (device) => {
    for (let i = 0; i < 50; ++i) device.createBuffer('f32', 1 << 16);
    await new Promise((done) => setTimeout(done, 10));
    gc();
    await new Promise((done) => setTimeout(done, 10));
    t.ok(device.info().bufferBytes < 50 * 4 * (1 << 16));
  });
});

t.test('several workers use devices of their own, and one may be terminated while it runs', async (t) => {
  const source = `
    const { parentPort, workerData } = require('node:worker_threads');
    const addon = require(workerData.addon);
    const device = addon.openDevice({ kind: 'cpu', threads: 1, memoryLimitBytes: 0 });
    device.compile(workerData.desc, []).then((program) => {
      parentPort.postMessage('running');
      return program.run([new Float32Array(256 * 256).fill(1)], { profile: false });
    }).then(({ outputs }) => { parentPort.postMessage(outputs[0][0]); return device.close(); });
  `;
  const path = fileURLToPath(new URL('../../build/cmake/Release/apollo.node', import.meta.url));
  const start = (repeats: number) =>
    new Worker(source, { eval: true, workerData: { addon: path, desc: squares(256, repeats) } });
  const results = await Promise.all(
    [1, 2, 3].map(async () => {
      const worker = start(2);
      const messages: unknown[] = [];
      worker.on('message', (message) => messages.push(message));
      const [code] = await once(worker, 'exit');
      return [...messages, code];
    }),
  );
  t.same(results, [
    ['running', 256, 0],
    ['running', 256, 0],
    ['running', 256, 0],
  ]);
  const long = start(100000);
  await once(long, 'message');
  t.equal(await long.terminate(), 1);
});
