// Makes what is published, as tarballs with their sha256: the package itself, and the engine built for this machine with the
// libraries that it needs, so that nobody has to compile it. Checks that the engine loads where none of them is installed
// and where glibc and libstdc++ are as old as promised.
//
//   node scripts/package.mjs [--cuda] [--out FOLDER]     default folder: build/package
//
//   --cuda   the engine with its CUDA backend, as @apollo-lm/PLATFORM-cuda
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const { values: options } = parseArgs({
  options: { cuda: { type: 'boolean', default: false }, out: { type: 'string', default: 'build/package' } },
});
const out = resolve(options.out);

/** Platforms that have a package of their own; npm installs those that fit the machine. */
const platforms = {
  'linux-x64': { os: ['linux'], cpu: ['x64'], libc: ['glibc'] },
  'linux-x64-cuda': { os: ['linux'], cpu: ['x64'], libc: ['glibc'] },
  'linux-arm64': { os: ['linux'], cpu: ['arm64'], libc: ['glibc'] },
  'darwin-arm64': { os: ['darwin'], cpu: ['arm64'] },
};
/** Installed only by those who ask for them, for their size. */
const byRequest = ['linux-x64-cuda'];

/** Newest symbol versions that a package may need: RHEL 9, Debian 12, Ubuntu 22.04 and what came later have them. */
const newest = { GLIBC: '2.34', GLIBCXX: '3.4.29', CXXABI: '1.3.13' };
/** Libraries that come with the package, and those that every system with Node has; MPI is loaded on demand. */
const bundled = /^lib(dnnl|hwy|gomp|OpenCL)\.so/;
const provided = /^(lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+|mpi)\.so|ld-linux)/;

const capture = (program, ...args) =>
  execFileSync(program, args, { encoding: 'utf8', cwd: root, maxBuffer: 1e9, stdio: ['ignore', 'pipe', 'inherit'] });
const fail = (message) => {
  console.error(`package: ${message}`);
  process.exit(1);
};
const lines = (text) => text.split('\n').filter(Boolean);

const older = (a, b) => {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number));
  const at = left.findIndex((part, i) => part !== (right[i] ?? 0));
  return at < 0 || left[at] < (right[at] ?? 0);
};

/** Names of the libraries that a shared object asks for. */
const neededBy = (file) =>
  lines(capture('objdump', '-p', file)).flatMap((line) => /NEEDED\s+(\S+)/.exec(line)?.slice(1) ?? []);

/** The newest version of each library's symbols that a shared object uses. */
function symbolVersions(file) {
  const found = {};
  for (const [, library, version] of capture('objdump', '-T', file).matchAll(/\b(GLIBC|GLIBCXX|CXXABI)_([\d.]+)/g)) {
    if (!found[library] || older(found[library], version)) found[library] = version;
  }
  return found;
}

/** Builds the engine in a folder of its own, so that the clone's build stays as it is; returns where it is. */
function build() {
  const folder = join(root, 'build', 'package-build', options.cuda ? 'cuda' : 'cpu');
  const flags = ['-DAPOLLO_PACKAGE=ON', `-DAPOLLO_WITH_CUDA=${options.cuda ? 'ON' : 'OFF'}`];
  execFileSync(process.execPath, [join(root, 'scripts/build-native.mjs')], {
    stdio: 'inherit',
    env: { ...process.env, APOLLO_BUILD: 'cmake', APOLLO_BUILD_FOLDER: folder, APOLLO_CMAKE_ARGS: flags.join(' ') },
  });
  return join(folder, 'Release');
}

/** Where the dynamic linker finds each library that a file needs, directly or not. */
function resolved(file) {
  return new Map(
    lines(capture('ldd', file)).flatMap((line) => {
      const found = /^\s*(\S+) => (\/\S+)/.exec(line);
      return found ? [[found[1], found[2]]] : [];
    }),
  );
}

/** Copies the libraries that belong to the package next to the addon; returns the files that they came from. */
function addLibraries(folder, addon) {
  const paths = resolved(addon);
  const sources = [];
  const open = [addon];
  const seen = new Set();
  for (let file = open.pop(); file; file = open.pop()) {
    for (const name of neededBy(file)) {
      if (seen.has(name)) continue;
      seen.add(name);
      if (provided.test(name)) continue;
      if (!bundled.test(name))
        fail(`${basename(file)} needs ${name}, which is neither bundled nor part of every system`);
      const source = paths.get(name) ?? fail(`${name} was not found on this machine`);
      copyFileSync(realpathSync(source), join(folder, name));
      sources.push(realpathSync(source));
      open.push(source);
    }
  }
  return sources;
}

/** Licences of the bundled libraries, as their Debian packages have them. */
function addLicences(folder, sources) {
  mkdirSync(join(folder, 'licences'));
  for (const source of sources) {
    const owner = /^(\S+?)(:\S+)?: /.exec(capture('dpkg', '-S', source))?.[1];
    const copyright = `/usr/share/doc/${owner}/copyright`;
    if (!owner || !existsSync(copyright)) fail(`no licence of ${source} was found (looked for ${copyright})`);
    copyFileSync(copyright, join(folder, 'licences', `${owner}.txt`));
  }
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
}

/** Prints and checks the symbol versions of everything in the folder. */
function checkSymbols(folder) {
  for (const name of readdirSync(folder).filter((name) => /\.(node|so)/.test(name))) {
    const versions = symbolVersions(join(folder, name));
    console.log(
      `  ${name}: ${Object.entries(versions)
        .map(([library, version]) => `${library}_${version}`)
        .join(', ')}`,
    );
    for (const [library, version] of Object.entries(versions)) {
      if (!older(version, newest[library]))
        fail(`${name} needs ${library}_${version}; at most ${newest[library]} is promised`);
    }
  }
}

/** Loads the addon with nothing but its own folder and the system's C and C++ libraries, and lets it multiply. */
function checkLoads(folder) {
  const libraries = `process.report.getReport().sharedObjects.filter((path) => ${bundled}.test(path.split('/').pop()))`;
  const code = `
    const addon = require(${JSON.stringify(join(folder, 'apollo.node'))});
    console.log(JSON.stringify({ version: addon.info().version, libraries: ${libraries} }));`;
  const { version, libraries: from } = JSON.parse(capture('env', '-i', process.execPath, '--eval', code));
  if (version !== manifest.version) fail(`the addon says version ${version}; the package is ${manifest.version}`);
  const foreign = from.filter((path) => dirname(path) !== folder);
  if (from.length === 0 || foreign.length > 0)
    fail(`libraries from outside of the package were loaded: ${foreign.join(', ')}`);
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

/** The engine for this machine. */
function packEngine() {
  if (process.platform !== 'linux') fail(`packages are made on Linux so far; this is ${process.platform}`);
  const platform = `${process.platform}-${process.arch}${options.cuda ? '-cuda' : ''}`;
  if (!platforms[platform]) fail(`there is no package for ${platform}; known: ${Object.keys(platforms).join(', ')}`);
  const built = build();
  const folder = join(out, platform);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(built).filter((name) => /\.(node|so)$/.test(name))) {
    copyFileSync(join(built, name), join(folder, name));
    capture('strip', '--strip-unneeded', join(folder, name));
  }
  addLicences(folder, addLibraries(folder, join(folder, 'apollo.node')));
  const about = `The engine of apollo-lm for ${platform}, with the libraries that it needs. Install apollo-lm instead.`;
  writeFileSync(join(folder, 'README.md'), `# @apollo-lm/${platform}\n\n${about}\n`);
  const fields = { name: `@apollo-lm/${platform}`, description: about, ...common(manifest), ...platforms[platform] };
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify({ ...fields, main: 'apollo.node' }, undefined, 2)}\n`);
  console.log(
    `symbol versions of ${platform} (at most ${Object.entries(newest)
      .map((pair) => pair.join('_'))
      .join(', ')}):`,
  );
  checkSymbols(folder);
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
  const engines = Object.keys(platforms).filter((name) => !byRequest.includes(name));
  published.optionalDependencies = Object.fromEntries(engines.map((name) => [`@apollo-lm/${name}`, manifest.version]));
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(published, undefined, 2)}\n`);
  return pack(folder);
}

mkdirSync(out, { recursive: true });
const packed = [packEngine(), packMain()];
console.log(`\n${packed.join('\n')}\nin ${out}`);
