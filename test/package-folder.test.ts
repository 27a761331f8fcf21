import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { moduleInPackage } from '../lib/package-folder.js';

t.test('code where its package has it is left alone', async (t) => {
  const here = pathToFileURL(join(import.meta.dirname, '../lib/engine/native.ts')).href;
  t.equal(moduleInPackage(here, 'the native engine'), here);
});

t.test('the error of code that a bundler has moved names the option that excludes it', async (t) => {
  const folder = t.testdir({ dist: {}, 'package.json': '{"name": "my-app"}' });
  const expected = {
    code: 'NO_ADDON',
    message: /runs from .*outside its package: a bundler.*the native engine cannot be bundled.*--packages=external/,
  };
  const bundle = (path: string) => pathToFileURL(join(folder, path)).href;
  t.throws(() => moduleInPackage(bundle('dist/server.js'), 'the native engine'), expected, 'no package two folders up');
  mkdirSync(join(folder, 'dist/server'));
  t.throws(() => moduleInPackage(bundle('dist/server/main.js'), 'the native engine'), expected, "another's package");
  writeFileSync(join(folder, 'package.json'), '{');
  t.throws(() => moduleInPackage(bundle('dist/server/main.js'), 'the native engine'), expected, 'no JSON');
  t.throws(() => moduleInPackage(undefined, 'the native engine'), {
    ...expected,
    message: /runs from a bundle, outside/,
  });
});
