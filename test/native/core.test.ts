/** native/core by a C++ program of its own (test/native/core): what JavaScript cannot bring about. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const program = fileURLToPath(new URL('../../build/emulator/core_tests', import.meta.url));

/** Memory that is freed holds no old values any more: glibc fills it. Built with a sanitizer, leaks are looked for. */
const env = { ...process.env, MALLOC_PERTURB_: '165', ASAN_OPTIONS: 'detect_leaks=1:exitcode=99' };

if (!existsSync(program)) {
  t.test('core', { skip: 'core_tests is not built (node scripts/build-emulator.mjs)' }, () => {});
} else {
  const listed = spawnSync(program, { encoding: 'utf8' });
  const cases = listed.stdout.split('\n').filter(Boolean);
  t.ok(cases.length > 0, 'there are cases');
  for (const name of cases) {
    t.test(name, async (t) => {
      const { status, signal, stdout, stderr } = spawnSync(program, [name], { encoding: 'utf8', env, timeout: 60_000 });
      t.match({ status, signal }, { status: 0, signal: null }, `${stdout}${stderr}`);
    });
  }
}
