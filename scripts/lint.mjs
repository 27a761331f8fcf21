// Formatting and lint of the whole repository: biome for TypeScript, JavaScript and JSON, clang-format and cppcheck for
// C++, GitHub's parser for its workflows. With --fix, formats in place what can be formatted.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const require = createRequire(import.meta.url);
const biome = join(dirname(require.resolve('@biomejs/biome/package.json')), 'bin/biome');
const fix = process.argv.includes('--fix');
let failures = 0;

function run(name, program, args) {
  const result = spawnSync(program, args, { cwd: root, stdio: 'inherit' });
  if (result.error?.code === 'ENOENT') {
    console.error(`${name}: not installed; "bash scripts/setup.sh --check" installs the linters`);
  } else if (result.status === 0) {
    console.log(`${name}: ok`);
    return;
  }
  failures += 1;
}

const listed = spawnSync('git', ['ls-files', '-co', '--exclude-standard', 'native', 'test'], {
  cwd: root,
  encoding: 'utf8',
});
const native = (listed.stdout ?? '').split('\n').filter((path) => /\.(cc|h|cu|cuh)$/.test(path));

run('biome', process.execPath, [biome, 'check', ...(fix ? ['--write'] : []), '--error-on-warnings', '.']);
if (listed.status !== 0 || native.length === 0) {
  console.error(`C++: git lists no files to check: ${(listed.stderr || listed.error?.message || 'none').trim()}`);
  failures += 1;
} else {
  run('clang-format', 'clang-format', [...(fix ? ['-i'] : ['--dry-run', '-Werror']), ...native]);
  run('cppcheck', 'cppcheck', [
    '--quiet',
    '--error-exitcode=1',
    '--language=c++',
    '--std=c++20',
    '--enable=warning,performance,portability',
    '--inline-suppr',
    '--suppressions-list=scripts/cppcheck-suppressions.txt',
    '-j2',
    '-Inative',
    ...native.filter((path) => path.endsWith('.cc')),
  ]);
}
run('workflows', process.execPath, [join(root, 'scripts/lint-workflows.mjs')]);
process.exitCode = failures > 0 ? 1 : 0;
