/** What happens when the driver refuses: nothing is lost, nothing leaks, and the device continues to work. */
import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import t, { type Test } from 'tap';
import type { Device } from '../../lib/engine/device.js';
import { Graph } from '../../lib/engine/index.js';
import { emulatedDevice, noEmulator } from '../device.js';

const skip = noEmulator;
const mebibyte = 2 ** 20;

async function failing<T>(what: string, work: () => Promise<T>): Promise<T> {
  process.env.APOLLO_EMULATOR_FAIL = what;
  try {
    return await work();
  } finally {
    delete process.env.APOLLO_EMULATOR_FAIL;
  }
}

/** y = exp(2 x) * exp(x / 2) over `size` elements: takes room in the arena. */
function exponentials(size: number): Graph {
  const g = new Graph();
  const x = g.input('x', [size]);
  g.output('y', x.scale(2).exp().mul(x.scale(0.5).exp()));
  return g;
}

function product(): Graph {
  const g = new Graph();
  g.output('y', g.input('x', [8, 8]).matmul(g.input('w', [8, 8])));
  return g;
}

/**
 * Waits until the emulated GPU has `before` bytes free again, or more: a device of the test before may have been closing
 * when they were counted.
 */
async function leavesNothing(t: Test, device: Device, before: number): Promise<void> {
  for (let tries = 0; device.info().freeBytes < before && tries < 1000; tries++) await setTimeout(5);
  t.ok(device.info().freeBytes >= before, `${device.info().freeBytes} bytes are free, ${before} were before`);
}

t.test('an arena that cannot grow leaves earlier programs as they were', { skip }, async (t) => {
  const device = await emulatedDevice();
  t.teardown(() => device.close());
  const program = await device.compile(exponentials(1000));
  const run = async () => (await program.run({ x: new Float32Array(1000).fill(1) })).outputs['y']![999]!;
  const results = [await run(), await run(), await run()];
  const large = failing(`cudaMalloc>${mebibyte}`, () => device.compile(exponentials(mebibyte)));
  await t.rejects(large, { code: 'OUT_OF_MEMORY' });
  t.ok(Math.abs(results[0]! - Math.exp(2.5)) < 1e-4);
  t.same([await run(), await run(), await run()], results);
});

t.test('a program whose graph cannot be built runs kernel by kernel', { skip }, async (t) => {
  const device = await emulatedDevice();
  t.teardown(() => device.close());
  const program = await device.compile(exponentials(1000));
  const run = async () => (await program.run({ x: new Float32Array(1000).fill(1) })).outputs['y']![999]!;
  const first = await run();
  const second = await failing('cudaGraphInstantiate', run);
  t.same([second, await run(), await run()], [first, first, first]);
});

t.test('a program whose graph cannot be loaded runs kernel by kernel', { skip }, async (t) => {
  const device = await emulatedDevice();
  t.teardown(() => device.close());
  const program = await device.compile(exponentials(1000));
  const run = async () => (await program.run({ x: new Float32Array(1000).fill(1) })).outputs['y']![999]!;
  const first = await run();
  const second = await failing('cudaGraphUpload', run);
  t.same([second, await run(), await run()], [first, first, first]);
});

t.test('a GPU that the kernels do not run on is refused with its name and what is required', { skip }, async (t) => {
  await t.rejects(
    failing('capability', () => emulatedDevice()),
    { code: 'NO_DEVICE', message: /GPU 0 \(CUDA emulator\) has compute capability 7\.0; 8\.0 or later is required/ },
  );
});

t.test('a device that cannot be opened leaves nothing behind', { skip }, async (t) => {
  const device = await emulatedDevice();
  t.teardown(() => device.close());
  const before = device.info().freeBytes;
  for (let i = 0; i < 3; i++) {
    await t.rejects(
      failing('cublasLtCreate', () => emulatedDevice()),
      { message: /opening a handle/ },
    );
  }
  await leavesNothing(t, device, before);
});

t.test('a product without an algorithm leaves nothing behind', { skip }, async (t) => {
  const device = await emulatedDevice();
  t.teardown(() => device.close());
  const before = device.info().freeBytes;
  const attempt = failing('cublasLtMatmulAlgoGetHeuristic', () => device.compile(product()));
  await t.rejects(attempt, { message: /finding an algorithm/ });
  await leavesNothing(t, device, before);
});

t.test('a worker that is terminated with jobs in the queue gives back its device', { skip }, async (t) => {
  const device = await emulatedDevice();
  t.teardown(() => device.close());
  const before = device.info().freeBytes;
  const source = `
    const { parentPort, workerData } = require('node:worker_threads');
    const addon = require(workerData);
    const device = addon.openDevice({ kind: 'cuda', index: 0, tf32: false, matmulCache: '', memoryLimitBytes: 0 });
    const shape = [1 << 16];
    const desc = {
      values: [
        { dtype: 'f32', shape, storage: 'buffer', slot: 0 },
        { dtype: 'f32', shape, storage: 'arena', slot: 0 },
        { dtype: 'f32', shape, storage: 'output', slot: 0 },
      ],
      instructions: [[0, 1], [1, 2]].map(([from, to]) => (
        { op: 'scale', inputs: [from], outputs: [to], attrs: { alpha: 1, beta: 1 } })),
    };
    const weights = device.createBuffer('f32', 1 << 16);
    device.compile(desc, [weights]).then((program) => {
      const stopped = new Int32Array(new SharedArrayBuffer(4));
      for (let i = 0; i < 20; i++) program.run([], { profile: false, stopped }).catch(() => {});
      weights.read(0, 10).catch(() => {});
      parentPort.postMessage('queued');
      for (;;);
    });
  `;
  const addon = fileURLToPath(new URL('../../build/cmake/Release/apollo.node', import.meta.url));
  for (let i = 0; i < 3; i++) {
    const worker = new Worker(source, { eval: true, workerData: addon });
    await once(worker, 'message');
    t.ok(device.info().freeBytes < before, 'the worker holds memory of the GPU');
    t.equal(await worker.terminate(), 1);
  }
  await leavesNothing(t, device, before);
});
