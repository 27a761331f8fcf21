// Makes what is published, as tarballs with their sha256: the package itself, and the engine built for a platform with the
// libraries that it needs, so that nobody has to compile it. Checks that the engine loads where none of them is installed
// and where the C and C++ libraries are as old as promised.
//
//   node scripts/package.mjs [--target PLATFORM] [--out FOLDER]     default folder: build/package
//
//   --target  linux-x64, linux-x64-cuda, linux-arm64, darwin-arm64; default: this machine's. linux-arm64 is also built on
//             linux-x64, with g++-aarch64-linux-gnu and Debian's arm64 packages (scripts/sysroot.sh), and loaded under QEMU.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import {
  capture,
  fail,
  here,
  nodeOf,
  prepareSysroot,
  root,
  sysrootOf,
  targetNamed,
  targets,
} from './package/targets.mjs';

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const { values: options } = parseArgs({
  options: { target: { type: 'string', default: here }, out: { type: 'string', default: 'build/package' } },
});
const out = resolve(options.out);
const target = targetNamed(options.target);
/** What differs between systems: libraries, licences, checks of the files. */
const system = await import(`./package/${process.platform}.mjs`);

/** Builds the engine in a folder of its own, so that the clone's build stays as it is; returns where it is. */
function build() {
  const folder = join(root, 'build', 'package-build', target.name);
  const flags = ['-DAPOLLO_PACKAGE=ON', ...target.cmake];
  // APOLLO_CMAKE_ARGS is split at blanks.
  if (target.cross && /\s/.test(root))
    throw new Error(`a cross-built package needs a clone in a path without blanks; got "${root}"`);
  if (target.cudaHeaders) execFileSync('bash', [join(root, 'scripts/cuda-headers.sh')], { stdio: 'inherit' });
  if (target.cross) {
    prepareSysroot(target);
    const toolchain = join(root, 'scripts', `${target.name}.cmake`);
    flags.push(`-DCMAKE_TOOLCHAIN_FILE=${toolchain}`, `-DAPOLLO_SYSROOT=${sysrootOf(target)}`);
  }
  execFileSync(process.execPath, [join(root, 'scripts/build-native.mjs')], {
    stdio: 'inherit',
    env: { ...process.env, APOLLO_BUILD: 'cmake', APOLLO_BUILD_FOLDER: folder, APOLLO_CMAKE_ARGS: flags.join(' ') },
  });
  return join(folder, 'Release');
}

/** Loads the addon with nothing but its own folder and the system's C and C++ libraries. */
function checkLoads(folder) {
  const code = `
    const addon = require(${JSON.stringify(join(folder, 'apollo.node'))});
    const info = addon.info();
    const loaded = process.report.getReport().sharedObjects;
    console.log(JSON.stringify({ info, loaded, backend: addon.cudaInfo().built }));`;
  const [program, ...args] = nodeOf(target);
  // Without variables that name folders of libraries; QEMU is found by the PATH.
  const text = capture('env', '-i', `PATH=${process.env.PATH}`, program, ...args, '--eval', code);
  const { info, loaded, backend } = JSON.parse(text);
  if (info.version !== manifest.version)
    fail(`the addon says version ${info.version}; the package is ${manifest.version}`);
  const from = loaded.filter(system.isBundled);
  const foreign = from.filter((path) => dirname(path) !== folder);
  if (from.length === 0 || foreign.length > 0)
    fail(`libraries from outside of the package were loaded: ${foreign.join(', ') || 'none from it'}`);
  if (backend !== target.name.endsWith('-cuda')) fail(`the CUDA backend is ${backend ? '' : 'not '}in ${target.name}`);
  console.log(`loads: oneDNN ${info.oneDnn} (${info.oneDnnIsa}), own kernels ${info.kernelIsa}`);
}

/** Packs a folder; returns the tarball's line for the summary. */
function pack(folder) {
  const [{ filename, size, unpackedSize }] = JSON.parse(
    capture('npm', 'pack', folder, '--pack-destination', out, '--json', '--ignore-scripts', '--loglevel=error'),
  );
  const sha256 = createHash('sha256')
    .update(readFileSync(join(out, filename)))
    .digest('hex');
  writeFileSync(join(out, `${filename}.sha256`), `${sha256}  ${filename}\n`);
  const mega = (bytes) => (bytes / 1e6).toFixed(1);
  return `${filename}  ${mega(size)} MB, ${mega(unpackedSize)} MB unpacked  sha256 ${sha256}`;
}

const common = ({ version, license, repository, homepage, bugs, engines }) =>
  JSON.parse(JSON.stringify({ version, license, repository, homepage, bugs, engines }));

/** The engine for the target. */
function packEngine() {
  const built = build();
  const folder = join(out, target.name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(join(folder, 'licences'), { recursive: true });
  for (const name of target.files) {
    if (!existsSync(join(built, name)))
      fail(`${name} was not built: CMake did not find what it needs (see its output)`);
    copyFileSync(join(built, name), join(folder, name));
    system.strip(target, join(folder, name));
  }
  for (const source of system.addLibraries(target, folder)) {
    const { name, path } = system.licenceOf(target, source);
    copyFileSync(path, join(folder, 'licences', `${name}.txt`));
  }
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
  const about = `The engine of apollo-lm for ${target.name}, with the libraries that it needs. Install apollo-lm instead.`;
  writeFileSync(join(folder, 'README.md'), `# @apollo-lm/${target.name}\n\n${about}\n`);
  const fields = { name: `@apollo-lm/${target.name}`, description: about, ...common(manifest), ...target.npm };
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify({ ...fields, main: 'apollo.node' }, undefined, 2)}\n`);
  system.check(target, folder);
  checkLoads(folder);
  return pack(folder);
}

/** The package itself: its manifest without what only a clone needs, and with the engines of all platforms. */
function packMain() {
  const folder = join(out, 'apollo-lm');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  execFileSync('npm', ['run', '--silent', 'prepare'], { cwd: root, stdio: 'inherit' });
  const [{ files }] = JSON.parse(capture('npm', 'pack', '--dry-run', '--json', '--ignore-scripts', '--loglevel=error'));
  for (const { path } of files) cpSync(join(root, path), join(folder, path));
  const { devDependencies, scripts: _, tap: __, ...published } = manifest;
  const tools = ['cmake-js', 'node-addon-api', 'node-api-headers', 'node-gyp']; // what `apollo-lm build` fetches
  published.buildTools = Object.fromEntries(tools.map((name) => [name, devDependencies[name]]));
  const engines = Object.keys(targets).filter((name) => !targets[name].byRequest);
  published.optionalDependencies = Object.fromEntries(engines.map((name) => [`@apollo-lm/${name}`, manifest.version]));
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(published, undefined, 2)}\n`);
  return pack(folder);
}

mkdirSync(out, { recursive: true });
const packed = [packEngine(), packMain()];
console.log(`\n${packed.join('\n')}\nin ${out}`);
