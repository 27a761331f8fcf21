// Runs the tests of ops, engine, parity with other software and training on a packaged engine instead of the one that was
// built here: on the files of the tarball that scripts/package.mjs made, with the suites that test the built engine.
//
//   node scripts/test-package.mjs [--target PLATFORM] [--packages FOLDER] [--engine FOLDER [--sysroot FOLDER]] [--no-smoke] [NAME ...]
//
//   --target    the package's platform; default: this machine's. Another processor's runs under QEMU, far slower.
//   --packages  where the tarballs are; default: build/package
//   --engine    a folder with apollo.node to test in place of a tarball, such as build/onednn3/Release
//   --sysroot   run Node with the C library and all other libraries of this folder (scripts/sysroot.sh)
//   --no-smoke  leave out `apollo-lm compare --preset smoke`
//   NAME        parts of file names to run; the smoke comparison is then left out
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { compileTests, finish, runTests } from './compiled-tests.mjs';
import { fail, here, nodeOf, prepareSysroot, root, targetNamed } from './package/targets.mjs';

const { values: options, positionals: parts } = parseArgs({
  allowPositionals: true,
  options: {
    target: { type: 'string', default: here },
    packages: { type: 'string', default: join(root, 'build/package') },
    engine: { type: 'string' },
    sysroot: { type: 'string' },
    'no-smoke': { type: 'boolean', default: false },
  },
});
const target = targetNamed(options.target);
const place = join(root, 'build', 'test-package', target.name);

/** The folder with the engine that is tested: that of the option, or what the newest tarball holds. */
function engineFolder() {
  if (options.engine) return resolve(options.engine);
  const pattern = new RegExp(`^apollo-lm-${target.name}-\\d.*\\.tgz$`);
  const names = existsSync(options.packages) ? readdirSync(options.packages).filter((name) => pattern.test(name)) : [];
  const tarball = names.sort().at(-1);
  if (!tarball)
    fail(`no tarball of ${target.name} in ${options.packages}: node scripts/package.mjs --target ${target.name}`);
  const folder = join(place, 'engine');
  mkdirSync(folder, { recursive: true });
  execFileSync('tar', ['-xzf', join(resolve(options.packages), tarball), '-C', folder, '--strip-components=1']);
  return folder;
}

const suites = ['engine', 'engine/optim', 'native', 'nn', 'parity'].map((folder) => `${folder}/`);
/** Under QEMU they take hours; the smoke comparison trains there. */
const training = [
  'train/loop',
  'train/accumulation',
  'train/growth',
  'train/checkpoint/checkpoint',
  'train/non-finite',
];
/** The node command that the tests run with. */
function nodeCommand() {
  if (!options.sysroot) return nodeOf(target);
  const libraries = readdirSync(join(options.sysroot, 'usr/lib')).find((name) => name.endsWith('-linux-gnu'));
  const folder = join(resolve(options.sysroot), 'usr/lib', libraries ?? fail(`no libraries in ${options.sysroot}`));
  const linker =
    readdirSync(folder).find((name) => name.startsWith('ld-linux')) ?? fail(`no dynamic linker in ${folder}`);
  return [join(folder, linker), '--library-path', folder, realpathSync(process.execPath)];
}
/** Not about the addon: a program in C++, documents; and what starts TypeScript files, of which there are none here. */
const left = ['native/core', 'engine/docs', 'engine/native'];

rmSync(place, { recursive: true, force: true });
const tests = join(place, 'tests');
const engine = engineFolder();
if (!existsSync(join(engine, 'apollo.node'))) fail(`no apollo.node in ${engine}`);
compileTests(tests, { 'build/cmake/Release': relative(root, engine), dist: 'dist', data: 'data' });
if (target.cross) prepareSysroot(target);
const node = nodeCommand();

const files = suites
  .flatMap((folder) => readdirSync(join(tests, 'test', folder)).map((name) => folder + name))
  .filter((name) => name.endsWith('.test.js'))
  .map((name) => name.slice(0, -'.test.js'.length));
const chosen = [...files, ...(target.cross ? [] : training)]
  .filter((file) => !left.includes(file))
  .filter((file) => parts.length === 0 || parts.some((part) => file.includes(part)));
console.log(`the tests of the engine on ${relative(root, engine)}${node.length > 1 ? `, under ${node[0]}` : ''}`);
const totals = runTests(tests, chosen, () => process.env, node);

/** Under QEMU the whole comparison takes half an hour, eight steps of it a minute and a half. */
const short = target.cross ? ['--steps', '8', '--eval-every', '4', '--seq', '16', '--batch', '4'] : [];

/** The whole program: compares two methods on the sample text; the report is its last file. */
function smoke() {
  const started = Date.now();
  const out = mkdtempSync(join(tmpdir(), 'apollo-smoke-'));
  const [program, ...args] = [
    ...node,
    join(tests, 'lib/cli/main.js'),
    'compare',
    '--preset',
    'smoke',
    ...short,
    '--out',
    out,
  ];
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: root, encoding: 'utf8' });
  const passed = status === 0 && existsSync(join(out, 'report.html'));
  if (!passed) console.log(stdout + stderr);
  totals[passed ? 'passed' : 'failed'] += 1;
  console.log(
    `compare --preset smoke: ${passed ? 'passed' : 'failed'}   ${((Date.now() - started) / 1000).toFixed(1)} s`,
  );
  rmSync(out, { recursive: true });
}
if (parts.length === 0 && !options['no-smoke']) smoke();
finish(totals);
