// npm run test:cuda: the tests of ops, parity with others' software, engine and training loop on the GPU of this machine.
// Runs without tap, so that a bare machine with Node, the compiled package and the compiled tests is enough: they are
// compiled into build/test-cuda, here where TypeScript is there, else beforehand (--compile only does that).
// Without a GPU it says so, counts every file as skipped and exits with 0. Arguments: parts of file names to run.
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
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
  'train/checkpoint',
  'train/growth',
  'train/non-finite',
];

function compile() {
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  if (!existsSync(tsc)) {
    if (existsSync(compiled)) return;
    throw new Error('TypeScript is not installed, and there are no compiled tests in build/test-cuda');
  }
  rmSync(compiled, { recursive: true, force: true });
  const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.cuda.json'], { cwd: root, stdio: 'inherit' });
  if (status !== 0) throw new Error('the tests could not be compiled');
  cpSync(join(root, 'test/fixtures'), join(compiled, 'test/fixtures'), { recursive: true });
  copyFileSync(join(root, 'bench/step/torch_step.py'), join(compiled, 'bench/step/torch_step.py'));
  writeFileSync(join(compiled, 'package.json'), '{ "type": "module" }\n');
  const shim = join(compiled, 'node_modules/tap');
  mkdirSync(shim, { recursive: true });
  writeFileSync(join(shim, 'package.json'), '{ "name": "tap", "type": "module", "exports": "./index.mjs" }\n');
  copyFileSync(join(root, 'test/cuda/tap-shim.mjs'), join(shim, 'index.mjs'));
  // Compiled code looks for the engine, the command and the sample text beside itself. (Links that go along to a machine
  // where the project lies elsewhere.)
  mkdirSync(join(compiled, 'build'));
  for (const part of ['build/cmake', 'build/Release', 'build/emulator', 'dist', 'data']) {
    const link = join(compiled, part);
    symlinkSync(relative(dirname(link), join(root, part)), link, 'dir');
  }
}

const args = process.argv.slice(2);
compile();
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
const totals = { passed: 0, failed: 0, skipped: 0 };
for (const file of chosen) {
  const started = Date.now();
  const run = spawnSync(process.execPath, [join(compiled, 'test', `${file}.test.js`)], {
    cwd: root,
    env: { ...process.env, APOLLO_TEST_DEVICE: device },
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  const lines = run.stdout.trimEnd().split('\n');
  let counts = { passed: 0, failed: 1, skipped: 0 };
  try {
    counts = JSON.parse(lines.pop());
  } catch {
    console.log(`${file}: ended with ${run.signal ?? run.status} before its tests were done`);
  }
  const { passed, failed, skipped } = counts;
  if (failed > 0) console.log([...lines, run.stderr].join('\n').trimEnd());
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  console.log(`${file.padEnd(20)} ${passed} passed, ${failed} failed, ${skipped} skipped   ${seconds} s`);
  for (const key of Object.keys(totals)) totals[key] += counts[key];
}
const { passed, failed, skipped } = totals;
console.log(`\n${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed > 0 ? 1 : 0;
