// Tests compiled by tsc and run without tap, by plain node: for machines that have no tap (scripts/test-cuda.mjs) and for
// an engine that was built another way (scripts/test-sanitize.mjs).
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/**
 * Compiles lib, test and bench into `folder`, or keeps what is there where TypeScript is not installed. `links` names what
 * compiled code finds next to itself: path in `folder` to path in the project. (Links that go along to a machine where the
 * project is elsewhere.)
 */
export function compileTests(folder, links) {
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  if (!existsSync(tsc)) {
    if (existsSync(folder)) return;
    throw new Error(`TypeScript is not installed, and there are no compiled tests in ${relative(root, folder)}`);
  }
  rmSync(folder, { recursive: true, force: true });
  const args = [tsc, '-p', 'tsconfig.cuda.json', '--outDir', folder];
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) throw new Error('the tests could not be compiled');
  cpSync(join(root, 'test/fixtures'), join(folder, 'test/fixtures'), { recursive: true });
  for (const script of ['bench/step/torch_step.py', 'bench/step/torch_llama.py']) {
    copyFileSync(join(root, script), join(folder, script));
  }
  // Under the package's name, by which code finds that it is where its package has it (lib/package-folder.ts).
  writeFileSync(join(folder, 'package.json'), '{ "name": "apollo-lm", "type": "module" }\n');
  const shim = join(folder, 'node_modules/tap');
  mkdirSync(shim, { recursive: true });
  writeFileSync(join(shim, 'package.json'), '{ "name": "tap", "type": "module", "exports": "./index.mjs" }\n');
  copyFileSync(join(root, 'test/cuda/tap-shim.mjs'), join(shim, 'index.mjs'));
  for (const [place, target] of Object.entries(links)) {
    const link = join(folder, place);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(relative(dirname(link), join(root, target)), link, 'dir');
  }
}

/**
 * Runs test files, named from test/ without extension, one process per file; `env` by file. Prints a line for each, and what
 * failed. Returns the counts of all.
 */
export function runTests(folder, files, envOf, command = [process.execPath]) {
  const totals = { passed: 0, failed: 0, skipped: 0 };
  const width = Math.max(20, ...files.map((file) => file.length));
  for (const file of files) {
    const started = Date.now();
    const [program, ...args] = [...command, join(folder, 'test', `${file}.test.js`)];
    const run = spawnSync(program, args, { cwd: root, env: envOf(file), encoding: 'utf8', maxBuffer: 1 << 28 });
    const lines = run.stdout.trimEnd().split('\n');
    let counts = { passed: 0, failed: 1, skipped: 0 };
    try {
      counts = JSON.parse(lines.pop());
    } catch {
      console.log(`${file}: ended with ${run.signal ?? run.status} before its tests were done`);
    }
    // A report of a sanitizer at the end of the process comes after the counts.
    if (run.status !== 0 && counts.failed === 0) counts.failed = 1;
    const { passed, failed, skipped } = counts;
    if (failed > 0) console.log([...lines, run.stderr].join('\n').trimEnd());
    const seconds = ((Date.now() - started) / 1000).toFixed(1);
    console.log(`${file.padEnd(width)} ${passed} passed, ${failed} failed, ${skipped} skipped   ${seconds} s`);
    for (const key of Object.keys(totals)) totals[key] += counts[key];
  }
  return totals;
}

/** The last line, for people and machines; the exit code follows from it: 1 also where nothing has passed or failed. */
export function finish({ passed, failed, skipped }) {
  console.log(`\n${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
}
