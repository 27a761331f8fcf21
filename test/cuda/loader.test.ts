// Messages for a user without a CUDA device: each message names what is missing and what to do.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { loadAddon } from '../../lib/engine/native.js';
import { noEmulator } from '../device.js';

const file = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const built = file('build/cmake/Release/libapollo_cuda.so');

/** The message and code of openDevice in a process with these variables, or what it printed otherwise. */
function openingWith(env: Record<string, string>, index = 0): string {
  const source = `
    const addon = require(${JSON.stringify(file('build/cmake/Release/apollo.node'))});
    try {
      addon.openDevice({ kind: 'cuda', index: ${index}, tf32: false, matmulCache: '', memoryLimitBytes: 0 });
      console.log('opened');
    } catch (error) {
      console.log(error.code + ' ' + error.message);
    }`;
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', source], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  return stdout || stderr;
}

t.test('a backend that is not there, or is something else', async (t) => {
  t.match(
    openingWith({ APOLLO_CUDA_LIBRARY: '/nowhere/libapollo_cuda.so' }),
    /^APOLLO_NO_DEVICE CUDA backend not built or not loadable: .*nowhere.*doctor.*device "cpu"/,
  );
  t.match(
    openingWith({ APOLLO_CUDA_LIBRARY: file('build/cmake/Release/apollo.node') }),
    /^APOLLO_NO_DEVICE .* is another library/,
  );
});

const noDriver = !existsSync(built) && 'the CUDA backend is not built here (no nvcc, or no headers of cuBLASLt)';
t.test('the real backend on a machine without a driver', { skip: noDriver }, async (t) => {
  const { devices } = loadAddon().cudaInfo();
  if (devices.length > 0) return t.comment('this machine has a GPU');
  t.match(openingWith({ APOLLO_CUDA_LIBRARY: built }), /^APOLLO_NO_DEVICE no (CUDA driver|usable GPU) on this machine/);
});

t.test('a backend of other headers than the engine', { skip: noEmulator }, async (t) => {
  const { stdout } = spawnSync(process.execPath, [file('scripts/abi.mjs')], { encoding: 'utf8' });
  t.match(stdout, /^0x[0-9a-f]{8}u\n$/);
  const abi = Buffer.alloc(4);
  abi.writeUInt32LE(Number(stdout.trim().replace('u', '')));
  const library = readFileSync(file('build/emulator/libapollo_cuda_emulated.so'));
  const places: number[] = [];
  for (let at = library.indexOf(abi); at >= 0; at = library.indexOf(abi, at + 4)) places.push(at);
  t.ok(places.length > 0, 'the library names its headers');
  for (const at of places) library[at]! ^= 1;
  const other = join(t.testdir(), 'libapollo_cuda.so');
  writeFileSync(other, library);
  t.match(
    openingWith({ APOLLO_CUDA_LIBRARY: other }),
    /^APOLLO_NO_DEVICE .*libapollo_cuda\.so was built from other sources than the engine; build both again/,
  );
});

t.test('a GPU that does not exist', { skip: noEmulator }, async (t) => {
  const env = { APOLLO_CUDA_LIBRARY: file('build/emulator/libapollo_cuda_emulated.so') };
  t.match(openingWith(env, 3), /^APOLLO_NO_DEVICE there is no GPU 3; this machine has 1 \(0 to 0\)/);
  t.match(openingWith(env), /^opened/);
});

t.test('cudaInfo never throws', async (t) => {
  const info = loadAddon().cudaInfo();
  t.ok(info.file.endsWith('.so'));
  t.ok(info.missing || info.devices.length > 0);
});
