// The package as npm would install it, without the engine's package: complete, importable, and clear about what is missing.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const root = fileURLToPath(new URL('..', import.meta.url));

/** A program as users start it: without the loaders that tests run with, which reach children through NODE_OPTIONS. */
function plain(program: string, args: readonly string[], cwd: string) {
  return spawnSync('env', ['-u', 'NODE_OPTIONS', program, ...args], { cwd, encoding: 'utf8' });
}

t.test('the packed package works where only its files are', async (t) => {
  const listing = plain('npm', ['pack', '--dry-run', '--json', '--ignore-scripts', '--loglevel=error'], root);
  const [{ files }] = JSON.parse(listing.stdout) as [{ files: { path: string }[] }];
  const paths = files.map(({ path }) => path);
  const scripts = ['scripts/abi.mjs', 'scripts/build-native.mjs', 'scripts/cuda-headers.sh'];
  const needed = ['CMakeLists.txt', 'binding.gyp', 'native/abi.cmake', ...scripts, 'LICENSE'];
  needed.push('native/addon/addon.cc', 'native/cuda/ops/attention.cuh');
  for (const path of needed) t.ok(paths.includes(path), path);
  t.ok(
    paths.some((path) => path.startsWith('data/sample/')),
    'the sample text',
  );
  t.notOk(
    paths.some((path) => /^(test|bench(?!\/results\/)|lib|build|node_modules)\//.test(path)),
    'and nothing of the workshop',
  );

  const project = mkdtempSync(join(tmpdir(), 'apollo-install-'));
  t.teardown(() => rmSync(project, { recursive: true }));
  const installed = join(project, 'node_modules/apollo-lm');
  for (const path of paths.filter((path) => !path.startsWith('dist/'))) {
    mkdirSync(dirname(join(installed, path)), { recursive: true });
    cpSync(join(root, path), join(installed, path));
  }
  const compiler = [join(root, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json'];
  const build = plain(process.execPath, [...compiler, '--outDir', join(installed, 'dist')], root);
  t.equal(build.status, 0, build.stdout + build.stderr);
  t.ok(existsSync(join(installed, 'dist/report/dashboard/client/main.js')), "the dashboard's scripts");
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    dependencies: object;
    scripts: object;
    exports: object;
  };
  t.same(
    ['preinstall', 'install', 'postinstall'].filter((name) => name in manifest.scripts),
    [],
    'nothing runs at installation',
  );
  for (const name of Object.keys(manifest.dependencies)) {
    mkdirSync(dirname(join(project, 'node_modules', name)), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), join(project, 'node_modules', name));
  }

  const evaluate = (code: string, type: string) =>
    plain(process.execPath, [`--input-type=${type}`, '--eval', code], project);
  const pure = evaluate(
    `import { createModel, preset } from 'apollo-lm';
     import { interpolate } from 'apollo-lm/growth';
     console.log(createModel(preset('gpt-nano')).config.hidden, interpolate(2, 4).join(' '));`,
    'module',
  );
  t.equal(pure.stdout, '128 0 0 1 1\n', pure.stderr);
  const subpaths = Object.keys(manifest.exports).map((key) => key.replace('.', 'apollo-lm'));
  const modules = subpaths.filter((key) => !key.endsWith('.json'));
  t.ok(modules.length > 10);
  const print = 'console.log(modules.map((all) => Object.keys(all).sort().join()).join("\\n"));';
  const loads = modules.map((key) => `await import('${key}')`).join();
  const imported = evaluate(`const modules = [${loads}]; ${print}`, 'module');
  const requires = modules.map((key) => `require('${key}')`).join();
  const required = evaluate(`const modules = [${requires}]; ${print}`, 'commonjs');
  t.equal(imported.stderr + required.stderr, '', 'without a warning');
  t.equal(imported.stdout.trim().split('\n').length, modules.length, 'every subpath is imported');
  t.equal(required.stdout.replaceAll(',module.exports', ''), imported.stdout, 'and required');
  t.notMatch(imported.stdout, /loadAddon|Native/, 'the raw addon is not among what they export');
  const inside = evaluate("import 'apollo-lm/engine/native.js'", 'module');
  t.match(inside.stderr, /ERR_PACKAGE_PATH_NOT_EXPORTED/, 'nothing else of the package can be imported');
  const engine = evaluate("import { openDevice } from 'apollo-lm'; await openDevice();", 'module');
  t.match(
    engine.stderr,
    /was not found[\s\S]*npx apollo-lm build[\s\S]*apollo\.node: not built\n[\s\S]*@apollo-lm\/\S+: not installed/,
  );
  // As a user's project, without a type or a library that it does not name: what the declarations need they bring along.
  const source = `import { interpolate } from 'apollo-lm/growth';
    import type { Device } from 'apollo-lm/engine';
    import { openDevice } from 'apollo-lm';
    ${modules.map((key, i) => `import * as room${i} from '${key}';`).join('\n')}
    export const device: Promise<Device> = openDevice({ threads: 1 });
    export const map: readonly number[] = interpolate(2, 4);
    // @ts-expect-error: the raw addon is no part of the types
    export const native = async () => (await device).native;
    export const rooms: readonly object[] = [${modules.map((_, i) => `room${i}`).join()}];`;
  const file = (name: string, text: string) => writeFileSync(join(project, name), text);
  file('package.json', '{ "type": "module" }');
  file('index.ts', source);
  file('index.cts', source);
  // The ways a project can be set up; a CommonJS file may require ES modules in those that know that Node does.
  const base = { target: 'ES2022', strict: true, noEmit: true, types: [], skipLibCheck: false, lib: ['ES2022'] };
  for (const [compiler, options, files] of [
    ['typescript', { module: 'NodeNext' }, ['index.ts', 'index.cts']],
    ['typescript', { module: 'Node16' }, ['index.ts']],
    ['typescript', { module: 'ESNext', moduleResolution: 'bundler' }, ['index.ts']],
    ['typescript-5', { module: 'NodeNext' }, ['index.ts', 'index.cts']],
    ['typescript-5', { module: 'Node16' }, ['index.ts']],
    ['typescript-5', { module: 'ESNext', moduleResolution: 'bundler', lib: ['ES2022', 'DOM'] }, ['index.ts']],
  ] as const) {
    const compilerOptions = { ...base, ...options };
    file('tsconfig.json', JSON.stringify({ compilerOptions, files }));
    const tsc = join(root, 'node_modules', compiler, 'bin/tsc');
    const { stdout, stderr } = plain(process.execPath, [tsc, '-p', project], project);
    t.equal(stdout + stderr, '', `the declarations compile: ${compiler}, ${options.module}`);
  }
  const doctor = plain(process.execPath, [join(installed, 'dist/cli/main.js'), 'doctor', '--no-measure'], project);
  t.equal(doctor.status, 1);
  t.match(doctor.stdout, /! native engine +missing/);
});
