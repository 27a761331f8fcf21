// Runs the tests with tap, repeats what failed, and closes with one line for people and machines:
// "N passed, N failed[, N skipped]".
// Arguments go to tap, e.g. `npm test -- test/growth/*.test.ts`. First brings the CUDA emulator up to date.
import { spawn, spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const emulator = fileURLToPath(new URL('build-emulator.mjs', import.meta.url));
const { status } = spawnSync(process.execPath, [emulator], { stdio: 'inherit' });
if (status !== 0) {
  console.log('\n0 passed, 1 failed');
  process.exit(1);
}

const require = createRequire(import.meta.url);
const manifest = require.resolve('tap/package.json');
const tap = join(dirname(manifest), require(manifest).bin.tap);

const child = spawn(process.execPath, [tap, ...process.argv.slice(2)], { stdio: ['inherit', 'pipe', 'inherit'] });
let tail = '';
let rest = '';
const failures = [];
child.stdout.on('data', (chunk) => {
  process.stdout.write(chunk);
  tail = (tail + chunk).slice(-4096);
  const lines = (rest + chunk).split('\n');
  rest = lines.pop();
  for (const line of lines) readLine(line);
});

// Keeps each `not ok` line with the diagnosis below it, the block of YAML between `---` and `...`.
let lastFailed = false;
let diagnosing = false;
function readLine(line) {
  if (/^ *not ok\b/.test(line) && !/# (SKIP|TODO)\b/i.test(line)) failures.push(line);
  else if (diagnosing || (/^ *---$/.test(line) && failures.length > 0 && lastFailed)) {
    failures.push(line);
    diagnosing = !/^ *\.\.\.$/.test(line);
  }
  lastFailed = /^ *not ok\b/.test(line);
}

child.on('close', (code, signal) => {
  // tap's own last lines: `# { total: 6, pass: 4, fail: 1, skip: 1 }`, where a count of 0 is left out.
  const totals = [...tail.matchAll(/^# \{ total: .* \}$/gm)].at(-1)?.[0] ?? '';
  const count = (key) => Number(totals.match(new RegExp(`\\b${key}: (\\d+)`))?.[1] ?? 0);
  const clean = code === 0 && !signal && count('total') > 0;
  const failed = clean ? count('fail') : Math.max(1, count('fail'));
  const skipped = count('skip') + count('todo');
  if (failures.length > 0) console.log(`\nWhat failed:\n${failures.slice(0, 400).join('\n')}`);
  process.exitCode = clean && failed === 0 ? 0 : 1;
  console.log(`\n${count('pass')} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`);
});
