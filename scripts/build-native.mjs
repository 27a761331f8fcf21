// Builds the native addon: with CMake where it is installed, else with node-gyp (CPU only, not on macOS). scripts/setup.sh and
// `apollo-lm build` run it. The published package does not depend on what only this needs: it is fetched from npm then.
//
//   APOLLO_SKIP_NATIVE=1    do nothing
//   APOLLO_BUILD            cmake | gyp; default: cmake if there is one
//   APOLLO_CMAKE_ARGS       e.g. "-DAPOLLO_WITH_CUDA=OFF"; a change configures again
//   APOLLO_BUILD_FOLDER     where CMake builds; default: build/cmake, where the package looks for the engine
import { spawn, spawnSync } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const require = createRequire(join(root, 'package.json'));
const cmakeFolder = resolve(root, process.env.APOLLO_BUILD_FOLDER ?? 'build/cmake');
const logFile = join(root, 'build', 'native.log');

const help = `
The native engine was not built; everything that needs no tensors still works. What it takes:
  Debian, Ubuntu   apt-get install build-essential cmake ninja-build libdnnl-dev libhwy-dev
  Fedora           dnf install gcc-c++ cmake ninja-build onednn-devel highway-devel
  macOS            brew install cmake ninja onednn highway libomp
Then run "npx apollo-lm build" (in a clone: "bash scripts/setup.sh").
Without the CUDA backend: APOLLO_CMAKE_ARGS=-DAPOLLO_WITH_CUDA=OFF. Without CMake, on Linux: APOLLO_BUILD=gyp.
The whole output is in ${logFile}`;

function onPath(program) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => folder && existsSync(join(folder, program)));
}

/** Packages that only building needs, if they are not installed. */
const tools = join(root, 'build', 'tools');

function packageFile(name, file) {
  const paths = [root, join(tools, 'node_modules')];
  return join(dirname(require.resolve(`${name}/package.json`, { paths })), file);
}

const hasTools = () => {
  try {
    for (const name of Object.keys(wantedTools())) packageFile(name, 'package.json');
    return true;
  } catch {
    return false;
  }
};

/** Their version ranges: of a clone among the devDependencies, in the published package a field of their own. */
function wantedTools() {
  const { buildTools, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const names = ['cmake-js', 'node-addon-api', 'node-api-headers', 'node-gyp'];
  return buildTools ?? Object.fromEntries(names.map((name) => [name, devDependencies[name]]));
}

/** Installs them in a folder of the package, without a trace in the project that depends on it. */
function fetchTools() {
  mkdirSync(tools, { recursive: true });
  writeFileSync(join(tools, 'package.json'), JSON.stringify({ private: true, dependencies: wantedTools() }));
  const args = ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error', '--prefix', tools];
  console.log(`apollo-lm: npm ${args.join(' ')}`);
  // As npm's own script, its settings would reach the new npm and have it install elsewhere.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)));
  const { status, error } = spawnSync('npm', args, { cwd: tools, env, stdio: 'inherit' });
  if (status !== 0)
    throw new Error(`npm could not install what building needs: ${error?.message ?? `exit code ${status}`}`);
}

/** Runs a Node script in the package's folder, its output to the terminal and the log; resolves to its exit code. */
function run(script, args, env, log) {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [script, ...args], { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const [from, to] of [
      [child.stdout, process.stdout],
      [child.stderr, process.stderr],
    ]) {
      from.on('data', (chunk) => {
        to.write(chunk);
        log.write(chunk);
      });
    }
    child.on('error', fail);
    child.on('close', (code, signal) => done(signal ? 1 : code));
  });
}

async function buildWithCmake(log) {
  const args = (process.env.APOLLO_CMAKE_ARGS ?? '').split(/\s+/).filter(Boolean);
  for (const arg of args) {
    if (!/^-D\w+(:\w+)?=/.test(arg)) throw new Error(`APOLLO_CMAKE_ARGS takes -DNAME=VALUE words; got "${arg}"`);
  }
  // `build` continues from an earlier build; it keeps the first configuration's options, so that other options, another Node
  // or a moved folder ask for a rebuild. (`compile` would throw everything away after one compiler error.)
  const stampFile = join(cmakeFolder, 'apollo-options.json');
  const stamp = JSON.stringify({ args, root, node: process.version, arch: process.arch });
  const same = existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp;
  const configured = ['build.ninja', 'Makefile'].some((file) => existsSync(join(cmakeFolder, file)));
  if (!same || !configured) rmSync(cmakeFolder, { recursive: true, force: true });
  mkdirSync(cmakeFolder, { recursive: true });
  writeFileSync(stampFile, stamp);
  const options = args.map((arg) => `--CD${arg.slice(2)}`);
  const script = packageFile('cmake-js', 'bin/cmake-js');
  return run(script, ['build', '--log-level', 'warn', '--out', cmakeFolder, ...options], process.env, log);
}

async function buildWithGyp(log) {
  rmSync(cmakeFolder, { recursive: true, force: true }); // the loader looks there first
  const env = { ...process.env };
  const prefix = resolve(process.execPath, '../..');
  if (existsSync(join(prefix, 'include/node/common.gypi'))) env.npm_config_nodedir = prefix;
  return run(packageFile('node-gyp', 'bin/node-gyp.js'), ['rebuild', '--jobs=max', '--loglevel=warn'], env, log);
}

async function main() {
  if (process.env.APOLLO_SKIP_NATIVE === '1') {
    console.log('apollo-lm: APOLLO_SKIP_NATIVE=1, the native engine is not built');
    return 0;
  }
  const mode = process.env.APOLLO_BUILD ?? (onPath('cmake') ? 'cmake' : 'gyp');
  if (mode !== 'cmake' && mode !== 'gyp') throw new Error(`APOLLO_BUILD must be cmake or gyp; got "${mode}"`);
  if (mode === 'gyp' && process.platform === 'darwin') {
    throw new Error('on macOS the native engine is built with CMake: brew install cmake');
  }
  if (!hasTools()) fetchTools();
  process.env.NODE_PATH = [join(tools, 'node_modules'), process.env.NODE_PATH].filter(Boolean).join(delimiter);
  const started = Date.now();
  mkdirSync(dirname(logFile), { recursive: true });
  const log = createWriteStream(logFile);
  try {
    const code = await (mode === 'cmake' ? buildWithCmake(log) : buildWithGyp(log));
    if (code === 0)
      console.log(`apollo-lm: native engine ready (${mode}, ${((Date.now() - started) / 1000).toFixed(1)} s)`);
    return code;
  } finally {
    await new Promise((done) => log.end(done));
  }
}

let code = 1;
try {
  code = await main();
} catch (error) {
  console.error(`apollo-lm: ${error.message}`);
}
if (code !== 0) {
  console.error(help);
}
process.exitCode = code;
