// Everything that the package exports is documented, its examples and the pages' code blocks compile, and docs/api is current.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** Without the loaders that tests run with, which reach children through NODE_OPTIONS. */
const script = (...args: string[]) =>
  spawnSync('env', ['-u', 'NODE_OPTIONS', process.execPath, ...args], { cwd: root, encoding: 'utf8' });

t.test('every export has a description and an example, and all examples compile', async (t) => {
  const { status, stdout, stderr } = script('scripts/reference/check.mjs');
  t.equal(status, 0, stdout + stderr);
  const [, exports] = /^(\d+) exports: /.exec(stdout) ?? [];
  const [, examples] = /examples and code blocks: (\d+); errors of the compiler: 0$/m.exec(stdout) ?? [];
  t.match(stdout, /^exports without a page: 0$/m);
  t.ok(Number(exports) > 400 && Number(examples) > 250, 'they were found');
});

t.test('docs/api is what the docstrings give (npm run docs:api)', async (t) => {
  const { status, stdout, stderr } = script('scripts/reference/make.mjs', '--check');
  t.equal(status, 0, stdout + stderr);
  t.match(stdout, /^docs\/api is current: \d+ pages\n$/);
});
