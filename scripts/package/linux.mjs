// Packages of Linux: the libraries that an addon needs, their licences, and the symbol versions of everything.
import { copyFileSync, existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { capture, fail, lines, sysrootOf, tool } from './targets.mjs';

/** Newest symbol versions that a package may need: RHEL 9, Debian 12, Ubuntu 22.04 and what came later have them. */
const newest = { GLIBC: '2.34', GLIBCXX: '3.4.29', CXXABI: '1.3.13' };
/** Libraries that come with the package, and those that every system with Node has; MPI is loaded on demand. */
const bundled = /^lib(dnnl|hwy|gomp|OpenCL)\.so/;
const provided = /^(lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+|mpi)\.so|ld-linux)/;

export const addonFiles = /\.(node|so)(\.|$)/;
export const isBundled = (path) => bundled.test(basename(path));

const older = (a, b) => {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number));
  const at = left.findIndex((part, i) => part !== (right[i] ?? 0));
  return at < 0 || left[at] < (right[at] ?? 0);
};

const dynamic = (file) => capture('readelf', '--wide', '--dynamic', file);

/** Names of the libraries that a shared object asks for. */
const neededBy = (file) => [...dynamic(file).matchAll(/\(NEEDED\).*\[(\S+)\]/g)].map(([, name]) => name);

/** The newest version of each library's symbols that a shared object uses. */
function symbolVersions(file) {
  const found = {};
  const versions = /\bName: (GLIBC|GLIBCXX|CXXABI)_([\d.]+)/g;
  for (const [, library, version] of capture('readelf', '--wide', '--version-info', file).matchAll(versions)) {
    if (!found[library] || older(found[library], version)) found[library] = version;
  }
  return found;
}

/** Where the libraries are that a file needs, directly or not. */
function finder(target, addon) {
  if (target.cross) {
    return (name) => join(sysrootOf(target), 'usr/lib', target.cross.triple, name);
  }
  const paths = new Map(
    lines(capture('ldd', addon)).flatMap((line) => {
      const found = /^\s*(\S+) => (\/\S+)/.exec(line);
      return found ? [[found[1], found[2]]] : [];
    }),
  );
  return (name) => paths.get(name) ?? '';
}

/** Copies the libraries that belong to the package beside the addon; returns the files that they came from. */
export function addLibraries(target, folder) {
  const addon = join(folder, 'apollo.node');
  const find = finder(target, addon);
  const sources = [];
  const open = readdirSync(folder)
    .filter((name) => addonFiles.test(name))
    .map((name) => join(folder, name));
  const seen = new Set();
  for (let file = open.pop(); file; file = open.pop()) {
    for (const name of neededBy(file)) {
      if (seen.has(name)) continue;
      seen.add(name);
      if (provided.test(name)) continue;
      if (!bundled.test(name))
        fail(`${basename(file)} needs ${name}, which is neither bundled nor part of every system`);
      const source = find(name);
      if (!existsSync(source)) fail(`${name}, which ${basename(file)} needs, was not found`);
      copyFileSync(realpathSync(source), join(folder, name));
      sources.push(realpathSync(source));
      open.push(source);
    }
  }
  return sources;
}

/** Makes the files smaller by what only a debugger needs. */
export function strip(target, file) {
  capture(tool(target, 'strip'), '--strip-unneeded', file);
}

/** The Debian package that a library is from. */
function ownerOf(target, source) {
  if (!target.cross) return /^(\S+?)(:\S+)?: /.exec(capture('dpkg', '-S', source))?.[1];
  const sysroot = realpathSync(sysrootOf(target));
  const lists = join(sysroot, 'var/lib/dpkg/info');
  const path = source.slice(sysroot.length);
  const list = readdirSync(lists).find((name) => lines(readFileSync(join(lists, name), 'utf8')).includes(path));
  return list?.replace(/\.list$/, '');
}

/** The licence of a bundled library, as its Debian package has it: `name` of the file and its `path`. */
export function licenceOf(target, source) {
  const owner = ownerOf(target, source);
  const folder = join(target.cross ? sysrootOf(target) : '/', 'usr/share/doc', owner ?? '-');
  const path = join(folder, 'copyright');
  if (!owner || !existsSync(path)) fail(`no licence of ${source} was found (looked for ${path})`);
  return { name: owner, path };
}

/** Prints and checks the symbol versions of everything in the folder, and that libraries are looked for beside it. */
export function check(target, folder) {
  const promised = Object.entries(newest).map((pair) => pair.join('_'));
  console.log(`symbol versions of ${target.name} (at most ${promised.join(', ')}):`);
  for (const name of readdirSync(folder).filter((name) => addonFiles.test(name))) {
    const file = join(folder, name);
    const versions = Object.entries(symbolVersions(file));
    console.log(`  ${name}: ${versions.map((pair) => pair.join('_')).join(', ')}`);
    for (const [library, version] of versions) {
      if (!older(version, newest[library]))
        fail(`${name} needs ${library}_${version}; at most ${newest[library]} is promised`);
    }
    const paths = [...dynamic(file).matchAll(/\((RPATH|RUNPATH)\).*\[(\S+)\]/g)].map(
      ([, kind, path]) => `${kind} ${path}`,
    );
    const own = name === 'apollo.node';
    if (own ? paths.join() !== 'RPATH $ORIGIN' : paths.some((path) => !path.endsWith(' $ORIGIN')))
      fail(`${name} looks for libraries in "${paths}"; expected ${own ? 'RPATH $ORIGIN' : '$ORIGIN or nothing'}`);
  }
}
