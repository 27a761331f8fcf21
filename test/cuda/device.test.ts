// The CUDA backend as a device: recorded programs, batches sent ahead, memory, wrong data, the end of a process.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Device } from '../../lib/engine/device.js';
import { Graph } from '../../lib/engine/index.js';
import { embedding, lmHeadLoss } from '../../lib/engine/ops/index.js';
import { cudaDevices } from '../device.js';

const mebibyte = 2 ** 20;

/** y = 2 x + 1 over `size` elements. */
function affine(size: number): Graph {
  const g = new Graph();
  g.output('y', g.input('x', [size]).scale(2, 1));
  return g;
}

async function results(device: Device, size: number, values: readonly number[]): Promise<number[]> {
  const program = await device.compile(affine(size));
  const runs = values.map((value) => program.run({ x: new Float32Array(size).fill(value) }));
  return (await Promise.all(runs)).map(({ outputs }) => outputs.y!.at(-1)!);
}

const [{ skip, open }] = cudaDevices as [(typeof cudaDevices)[number]];

t.test('a device of its own', { skip }, async (t) => {
  const device = await open();
  t.teardown(() => device.close());

  await t.test(
    'many runs at once: each gets its own batch, the third and later ones from a recorded program',
    async (t) => {
      const values = Array.from({ length: 12 }, (_, i) => i);
      t.same(
        await results(device, 1000, values),
        values.map((value) => 2 * value + 1),
      );
    },
  );

  await t.test('a program recorded before the arena moved is recorded again', async (t) => {
    const small = new Graph();
    const x = small.input('x', [64]);
    small.output('y', x.scale(3).add(x.exp()).sub(x.exp()));
    const program = await device.compile(small);
    const run = async () => (await program.run({ x: new Float32Array(64).fill(2) })).outputs.y![5]!;
    const before = [await run(), await run(), await run()];
    const large = new Graph();
    const z = large.input('z', [mebibyte]);
    large.output('y', z.scale(2).exp().mul(z.scale(0.5).exp()).sum());
    const { arenaBytes } = device.info();
    await device.compile(large);
    t.ok(device.info().arenaBytes > arenaBytes, 'the arena has grown');
    t.same([await run(), await run(), await run()], before);
  });

  await t.test(
    'a wrong id is an error of its run, also in a recorded program, and the next run is right',
    async (t) => {
      const g = new Graph();
      g.output('y', embedding(g.input('table', [4, 2]), g.input('ids', [3], 'i32')));
      const program = await device.compile(g);
      const table = [0, 1, 2, 3, 4, 5, 6, 7];
      const good = async () => [...(await program.run({ table, ids: [3, 0, 1] })).outputs.y!];
      for (let i = 0; i < 3; i++) {
        t.same(await good(), [6, 7, 0, 1, 2, 3]);
        await t.rejects(program.run({ table, ids: [0, 4, -1] }), {
          code: 'BAD_ARGUMENT',
          message: /embedding: ids\[1\] is 4; expected 0 <= value < 4/,
        });
      }
      const head = new Graph();
      const [hidden, words] = [head.input('x', [2, 3]), head.input('table', [5, 3])];
      head.output('loss', lmHeadLoss(hidden, words, head.input('labels', [2], 'i32')).loss);
      const loss = await device.compile(head);
      const inputs = { x: new Float32Array(6), table: new Float32Array(15) };
      await t.rejects(loss.run({ ...inputs, labels: [-100, 5] }), {
        code: 'BAD_ARGUMENT',
        message: /lmHeadLoss: labels\[1\] is 5; expected 0 <= value < 5, or -100/,
      });
      const { outputs } = await loss.run({ ...inputs, labels: [-100, 4] });
      t.ok(Math.abs(outputs.loss![0]! - Math.log(5)) < 1e-6);
    },
  );

  await t.test('a profile has the time of each instruction', async (t) => {
    const program = await device.compile(affine(4096));
    const { profile, elapsedMs } = await program.run({ x: new Float32Array(4096) }, { profile: true });
    t.equal(profile?.length, 1);
    t.equal(profile?.[0]?.op, 'scale');
    t.ok(elapsedMs >= 0 && Math.abs((profile?.[0]?.ns ?? 0) / 1e6 - elapsedMs) < 1e-6);
  });

  await t.test('a run that is cancelled before it begins is not run', async (t) => {
    const program = await device.compile(affine(8));
    const controller = new AbortController();
    const first = program.run({ x: new Float32Array(8) }, { signal: controller.signal });
    controller.abort();
    await first.catch(() => undefined);
    await t.rejects(program.run({ x: new Float32Array(8) }, { signal: controller.signal }), { code: 'ABORT_ERR' });
    t.same(await results(device, 8, [1]), [3], 'the device still works');
  });
});

t.test('the account of memory is the driver’s', { skip }, async (t) => {
  const device = await open();
  t.teardown(() => device.close());
  const before = device.info();
  const buffers = Array.from({ length: 8 }, (_, i) => device.createBuffer('f32', (8 + i) * mebibyte));
  const g = new Graph();
  const x = g.input('x', [4 * mebibyte], 'f32');
  g.output('y', x.scale(2).exp().mul(x.scale(0.5)).sum());
  const program = await device.compile(g);
  const after = device.info();
  const used = before.freeBytes - after.freeBytes;
  const accounted = after.bufferBytes + after.arenaBytes;
  t.ok(accounted > 400 * mebibyte);
  t.ok(Math.abs(used / accounted - 1) < 0.05, `the driver gave ${used} bytes, ${accounted} are accounted for`);
  program.dispose();
  for (const buffer of buffers) buffer.dispose();
  for (let tries = 0; device.info().bufferBytes > 0 && tries < 2000; tries++) {
    await new Promise((done) => setTimeout(done, 1));
  }
  t.equal(device.info().bufferBytes, 0);
});

t.test('of the memory that inputs travelled through, the largest is given back', { skip }, async (t) => {
  const device = await open();
  t.teardown(() => device.close());
  const rowOf = async (rows: number) => {
    const g = new Graph();
    g.output('y', embedding(g.input('table', [rows, 1024]), g.input('ids', [1], 'i32')));
    using program = await device.compile(g);
    const table = new Float32Array(rows * 1024);
    table.fill(rows, -1024);
    const { outputs } = await program.run({ table, ids: [rows - 1] });
    return outputs.y!.at(-1)!;
  };
  const before = device.info().freeBytes;
  for (const mebibytes of [80, 100, 90]) t.equal(await rowOf(mebibytes * 256), mebibytes * 256);
  const kept = () => before - device.info().freeBytes;
  for (let tries = 0; kept() > 180 * mebibyte && tries < 2000; tries++) {
    await new Promise((done) => setTimeout(done, 1));
  }
  t.ok(kept() < 180 * mebibyte, `${kept()} bytes are kept`);
  t.equal(await rowOf(100 * 256), 100 * 256);
});

t.test('a program beyond the limit is refused with both figures before it runs', { skip }, async (t) => {
  const device = await open({ memoryLimitBytes: 4 * mebibyte });
  t.teardown(() => device.close());
  const g = new Graph();
  const x = g.input('x', [mebibyte]);
  g.output('y', x.exp().mul(x.scale(2)).sum());
  await t.rejects(device.compile(g), {
    code: 'OUT_OF_MEMORY',
    message: /needs .* MiB more on cuda:0, .* of 4\.0 MiB are in use/,
  });
  t.same(await results(device, 16, [4]), [9], 'the device still works');
});

/** A program of three squared matrices in a process of its own: how it ends. */
function process_(code: string) {
  const addon = fileURLToPath(new URL('../../build/cmake/Release/apollo.node', import.meta.url));
  const source = `
    const addon = require(${JSON.stringify(addon)});
    const open = () => addon.openDevice({ kind: 'cuda', index: 0, tf32: false, matmulCache: '', memoryLimitBytes: 0 });
    const values = [
      { dtype: 'f32', shape: [512], storage: 'input', slot: 0 },
      { dtype: 'f32', shape: [512], storage: 'output', slot: 0 },
    ];
    const scale = { op: 'scale', inputs: [0], outputs: [1], attrs: { alpha: 2, beta: 0 } };
    const desc = { values, instructions: Array.from({ length: 200 }, () => scale) };
    const x = new Float32Array(512).fill(21);
    ${code}`;
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, ['-e', source], { encoding: 'utf8' });
  return { status, signal, stdout: stdout.trim(), stderr };
}

t.test('a process may end with its device open, in the middle of a run, or in a worker', { skip }, async (t) => {
  t.match(
    process_(`open().compile(desc, []).then((p) => p.run([x], {})).then((r) => console.log(r.outputs[0][511]));`),
    { status: 0, stdout: '42' },
  );
  t.match(process_(`open().compile(desc, []).then((p) => { p.run([x], {}); p.run([x], {}); process.exit(3); });`), {
    status: 3,
    signal: null,
  });
  t.match(
    process_(`
      const { Worker, isMainThread } = require('node:worker_threads');
      const worker = new Worker(\`
        const addon = require(${'$'}{JSON.stringify(${JSON.stringify(fileURLToPath(new URL('../../build/cmake/Release/apollo.node', import.meta.url)))})});
        const device = addon.openDevice({ kind: 'cuda', index: 0, tf32: false, matmulCache: '', memoryLimitBytes: 0 });
        device.compile(${'$'}{JSON.stringify(desc)}, []).then(async (p) => {
          require('node:worker_threads').parentPort.postMessage('running');
          for (;;) await p.run([new Float32Array(512)], {});
        });
      \`, { eval: true });
      worker.once('message', () => worker.terminate().then((code) => console.log('ended', code)));
    `),
    { status: 0, stdout: 'ended 1' },
  );
});
