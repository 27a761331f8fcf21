import t from 'tap';
import { deviceOptionsOf } from '../../lib/cli/device.js';
import { emulatorEnv, noEmulator } from '../device.js';

const settings = (device: string) => ({ device, threads: 3, tf32: false }) as const;

t.test('the device of a process by itself', async (t) => {
  t.same(deviceOptionsOf(settings('cpu')), { kind: 'cpu', threads: 3 });
  t.same(deviceOptionsOf(settings('cuda')), { kind: 'cuda', index: 0, tf32: false });
  t.same(deviceOptionsOf(settings('cuda:2')), { kind: 'cuda', index: 2, tf32: false });
});

t.test('each rank takes its own GPU', { skip: noEmulator }, async (t) => {
  Object.assign(process.env, emulatorEnv);
  const indexOf = (device: string, gpus: number, localRank?: number) => {
    process.env.APOLLO_EMULATOR_GPUS = String(gpus);
    return deviceOptionsOf(settings(device), { size: 8, localRank }).index;
  };
  t.equal(indexOf('cuda', 4, 3), 3);
  t.equal(indexOf('cuda', 1, 3), 0, 'the only one that the launcher lets it see');
  t.equal(indexOf('cuda', 1), 0);
  t.equal(indexOf('cuda:1', 4, 3), 1, 'the one that is named');
  t.equal(deviceOptionsOf(settings('cpu'), { size: 8, localRank: 3 }).index, undefined);
  t.throws(() => indexOf('cuda', 4), {
    code: 'BAD_CONFIG',
    message: /its GPU is unknown\. Set LOCAL_RANK as well as RANK/,
  });
});
