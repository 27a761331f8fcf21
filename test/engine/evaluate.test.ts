import t from 'tap';
import { evaluate, Graph, lmHeadLoss, loadAddon } from '../../lib/engine/index.js';
import { testDevice } from '../device.js';

t.test('a tensor gives its values', async (t) => {
  t.strictSame(await evaluate((g) => g.input('x', [2]).mul(3), { x: [1, 2] }), Float32Array.of(3, 6));
});

t.test('a record gives its values by name, on a device of the caller', async (t) => {
  const device = await testDevice({ threads: 1 });
  const result = await evaluate((g) => ({ a: g.constant(2, [2]), b: g.constant(3, [1], 'i32') }), {}, { device });
  t.strictSame(result, { a: Float32Array.of(2, 2), b: Int32Array.of(3) });
  t.ok(device.info().ops.length > 0, 'still open');
  await device.close();
});

t.test('equal computations may run at the same time', async (t) => {
  const device = await testDevice({ threads: 1 });
  t.teardown(() => device.close());
  const lane = async (value: number) => {
    for (let i = 0; i < 10; i++) {
      const result = await evaluate((g) => g.input('x', [2]).mul(3), { x: [value, i] }, { device });
      t.strictSame(result, Float32Array.of(3 * value, 3 * i));
    }
  };
  await Promise.all([1, 2, 3, 4, 5].map(lane));
});

t.test('data that a kernel refuses rejects with its place', async (t) => {
  const run = evaluate(
    (g) => lmHeadLoss(g.input('x', [1, 2]), g.input('t', [3, 2]), g.input('labels', [1], 'i32')).loss,
    {
      x: [1, 2],
      t: [1, 2, 3, 4, 5, 6],
      labels: [3],
    },
  );
  await t.rejects(run, { code: 'BAD_ARGUMENT', message: /3/ });
});

t.test('methods are the functions', async (t) => {
  const x = new Graph().input('x', [2, 3]);
  t.strictSame(x.softmax().node.op.name, 'softmax');
  t.strictSame(x.slice([0, 1], [-1, 2]).shape, [2, 2]);
  t.strictSame(x.mean(0).shape, [3]);
  t.equal(`${x.transpose()}`, 'Tensor f32 [3, 2] of transpose');
});

t.test('the addon says what it was built with', async (t) => {
  const info = loadAddon().info();
  t.ok(info.oneDnn && info.compiler && info.logicalCores > 0);
});
