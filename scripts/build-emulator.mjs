// Builds the CUDA backend for the emulator (test/emulator) into build/emulator, where only what changed is compiled.
// Quiet unless something goes wrong. Prints why when the machine cannot: the tests that need it are then skipped.
import { spawnSync } from 'node:child_process';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const folder = join(root, 'build', 'emulator');

function run(program, args) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd: root, encoding: 'utf8' });
  if (error?.code === 'ENOENT') {
    console.error(`The CUDA emulator is not built: ${program} was not found (bash scripts/setup.sh brings it).`);
    process.exit(0);
  }
  if (status === 0) return;
  console.error(`${stdout}${stderr}\nThe CUDA emulator could not be built.`);
  process.exit(1);
}

run('cmake', ['-S', join(root, 'test', 'emulator'), '-B', folder, '-G', 'Ninja']);
run('cmake', ['--build', folder]);
