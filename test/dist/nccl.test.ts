/** Messages where ranks on GPUs find no NCCL: each message names what was looked for and how to get it. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { openGroup } from '../../lib/dist/index.js';
import { loadAddon, type NcclInfo } from '../../lib/engine/native.js';
import { emulatedDevice, emulatorEnv, noEmulator } from '../device.js';

const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const addon = file('build/cmake/Release/apollo.node');
const built = file('build/cmake/Release/libapollo_nccl.so');

/** ncclInfo() in a process with these variables. */
function infoWith(env: Readonly<Record<string, string>>): NcclInfo {
  const source = `console.log(JSON.stringify(require(${JSON.stringify(addon)}).ncclInfo()))`;
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', source], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  return JSON.parse(stdout || JSON.stringify({ missing: stderr }));
}

t.test('a communicator that is not there, or is something else', async (t) => {
  const nowhere = infoWith({ APOLLO_NCCL_LIBRARY: '/nowhere/libapollo_nccl.so' });
  t.equal(nowhere.file, '/nowhere/libapollo_nccl.so');
  t.match(
    nowhere.missing,
    /^NCCL is not built in or not loadable: .*nowhere.*scripts\/cuda-headers\.sh.*apollo-lm build/,
  );
  t.match(infoWith({ APOLLO_NCCL_LIBRARY: addon }).missing, /is another library/);
});

const notBuilt = !existsSync(built) && 'NCCL is not built in here (no nvcc, or no nccl.h)';
t.test('the real communicator without NCCL', { skip: notBuilt }, async (t) => {
  const real = { APOLLO_NCCL_LIBRARY: built };
  t.match(
    infoWith({ ...real, APOLLO_NCCL: '/nowhere/libnccl.so.2' }).missing,
    /^NCCL not found \(\/nowhere\/libnccl\.so\.2: .*\)\. Install libnccl2 or .* nvidia-nccl-cu1[23], or set APOLLO_NCCL=/,
  );
  t.match(
    infoWith({ ...real, APOLLO_NCCL: built }).missing,
    /libapollo_nccl\.so is no usable NCCL: it lacks ncclGetVersion/,
  );
  const { library, missing } = infoWith(real);
  t.ok(library ?? missing?.startsWith('NCCL not found (libnccl.so.2: '), `${missing}`);
});

t.test('what is found is named', { skip: noEmulator }, async (t) => {
  t.match(infoWith(emulatorEnv), { library: `2.30.0 (${emulatorEnv.APOLLO_NCCL})` });
});

t.test('a group on GPUs without NCCL', { skip: noEmulator }, async (t) => {
  const device = await emulatedDevice();
  t.teardown(() => device.close());
  process.env.APOLLO_NCCL_LIBRARY = '/nowhere/libapollo_nccl.so';
  await t.rejects(openGroup(device, { RANK: '0', WORLD_SIZE: '2' }), {
    code: 'NO_GROUP',
    message: /^Ranks on GPUs need NCCL\. NCCL is not built in or not loadable: .*nowhere/,
  });
  t.match(loadAddon().ncclInfo(), { missing: /nowhere/ });
});

t.test('a group on GPUs without a place to meet', { skip: noEmulator }, async (t) => {
  const device = await emulatedDevice();
  t.teardown(() => device.close());
  await t.rejects(openGroup(device, { RANK: '0', WORLD_SIZE: '2' }), {
    code: 'BAD_CONFIG',
    message: /have no address to connect to: MASTER_ADDR and MASTER_PORT must be set/,
  });
});
