/** A lasting error of the driver: the process can no longer use the GPU, and every call says so. Nothing else runs here. */
import t from 'tap';
import { Graph } from '../../lib/engine/index.js';
import { emulatedDevice, noEmulator } from '../device.js';

t.test('after a lasting error everything says to restart the process', { skip: noEmulator }, async (t) => {
  const device = await emulatedDevice();
  const g = new Graph();
  g.output('y', g.input('x', [4]).scale(2));
  const program = await device.compile(g);
  const other = device.createBuffer('f32', 8);
  process.env.APOLLO_EMULATOR_FAIL = 'kernel';
  const first = program.run({ x: [1, 2, 3, 4] });
  await t.rejects(first, { code: 'INTERNAL', message: /illegal memory access.*restart the process/ });
  delete process.env.APOLLO_EMULATOR_FAIL;
  const closed = { code: 'CLOSED', message: /illegal memory access.*restart the process/ };
  await t.rejects(program.run({ x: [1, 2, 3, 4] }), closed);
  t.throws(() => device.info(), closed);
  t.throws(() => device.createBuffer('f32', 8), closed);
  await t.rejects(other.read(0, 8), { code: 'APOLLO_CLOSED' });
  const h = new Graph();
  h.output('y', h.input('x', [5]).scale(2));
  await t.rejects(device.compile(h), closed);
  await t.resolves(device.close(), 'and it can be closed');
  await t.rejects(
    emulatedDevice(),
    { message: /restart the process/ },
    'another device of this process is none either',
  );
});
