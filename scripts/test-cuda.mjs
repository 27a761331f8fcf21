// npm run test:cuda: the tests of ops, parity with others' software, engine and training loop on the GPU of this machine.
// Runs without tap, so that a bare machine with Node, the compiled package and the compiled tests is enough: they are
// compiled into build/test-cuda, here where TypeScript is there, else beforehand (--compile only does that).
// Without a GPU it says so, counts every file as skipped and exits with 0. Arguments: parts of file names to run.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { compileTests, finish, root, runTests } from './compiled-tests.mjs';

const compiled = join(root, 'build', 'test-cuda');
const files = [
  'engine/ops',
  'engine/optim/adamw',
  'engine/optim/muon',
  'engine/parameters',
  'engine/device',
  'engine/evaluate',
  'parity/gpt',
  'parity/bert',
  'parity/sharing',
  'parity/muon',
  'train/loop',
  'train/checkpoint/checkpoint',
  'train/growth',
  'train/non-finite',
];

const args = process.argv.slice(2);
const beside = ['build/cmake', 'build/Release', 'build/emulator', 'dist', 'data', 'scripts'];
compileTests(compiled, Object.fromEntries(beside.map((path) => [path, path])));
if (args.includes('--compile')) process.exit(0);
for (const name of readdirSync(join(compiled, 'test/cuda'))) {
  if (name.endsWith('.test.js')) files.push(`cuda/${name.slice(0, -'.test.js'.length)}`);
}
const chosen = files.filter((file) => args.length === 0 || args.some((part) => file.includes(part)));
const { loadAddon } = await import(join(compiled, 'lib/engine/native.js'));
const { missing, devices } = loadAddon().cudaInfo();
if (missing && process.env.APOLLO_TEST_DEVICE !== 'emulator') {
  console.log(`No test ran on a GPU: ${missing}\n`);
  console.log(`0 passed, 0 failed, ${chosen.length} skipped`);
  process.exit(0);
}
const device = process.env.APOLLO_TEST_DEVICE ?? 'cuda';
console.log(`on ${device === 'cuda' ? devices[0].name : device}`);
finish(runTests(compiled, chosen, () => ({ ...process.env, APOLLO_TEST_DEVICE: device })));
