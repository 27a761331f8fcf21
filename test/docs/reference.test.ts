// Everything that the package exports is documented, its examples and the pages' code blocks compile, and docs/api is current.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
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
  t.match(stdout, /^rows without description: 0; /m);
  t.ok(Number(exports) > 400 && Number(examples) > 250, 'they were found');
});

t.test('rows without a description are found', async (t) => {
  const { undescribedRows } = (await import(join(root, 'scripts/reference/rows.mjs'))) as {
    undescribedRows: (page: string) => { empty: number[]; bare: number[] };
  };
  const page = [
    '| Parameter | Type | Description |',
    '| ------ | ------ | ------ |',
    '| `a` | `"x"` \\| `"y"` | What it is. |',
    '| `b` | `"x"` \\| `"y"` | - |',
    '| `c` | `number` |  |',
    '',
    '| Parameter | Type |',
    '| ------ | ------ |',
    '| `d` | `number` |',
    '| `d.field?` | `number` |',
    '',
    '| Name | Type |',
    '| ------ | ------ |',
    '| `f` | `number` |',
    '',
    '```',
    '| Parameter | Description |',
    '| ------ | ------ |',
    '| `e` | - |',
    '```',
  ];
  t.same(undescribedRows(page.join('\n')), { empty: [4, 5, 10, 14], bare: [9] });
});

t.test('docs/api is what the docstrings give (npm run docs:api)', async (t) => {
  const { status, stdout, stderr } = script('scripts/reference/make.mjs', '--check');
  t.equal(status, 0, stdout + stderr);
  t.match(stdout, /^docs\/api is current: \d+ pages\n$/);
});
