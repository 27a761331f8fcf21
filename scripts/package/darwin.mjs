// Packages of macOS: the libraries that Homebrew has, found beside the addon, and the oldest system that everything runs on.
import { copyFileSync, existsSync, readdirSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { capture, fail, lines } from './targets.mjs';

/** Oldest macOS that a package may need; what Homebrew builds for decides it. */
const newest = 15;
const bundled = /^lib(dnnl|hwy|omp)\b.*\.dylib$/;
const provided = /^(\/usr\/lib\/|\/System\/Library\/)/;

export const addonFiles = /\.(node|so|dylib)$/;
export const isBundled = (path) => bundled.test(basename(path));

/** Names under which a file asks for libraries; the first line of otool is the file, a library's second its own name. */
function neededBy(file) {
  const [, ...rest] = lines(capture('otool', '-L', file));
  return rest.map((line) => line.trim().split(' ')[0]).filter((name) => basename(name) !== basename(file));
}

/** Copies the libraries that belong to the package beside the addon, each to be found there; returns where they were. */
export function addLibraries(_, folder) {
  const sources = [];
  const open = readdirSync(folder)
    .filter((name) => addonFiles.test(name))
    .map((name) => ({ file: join(folder, name), from: folder }));
  const seen = new Set();
  for (let next = open.pop(); next; next = open.pop()) {
    for (const name of neededBy(next.file)) {
      if (provided.test(name)) continue;
      const own = basename(name);
      if (!bundled.test(own)) fail(`${basename(next.file)} needs ${name}, which is neither bundled nor part of macOS`);
      capture('install_name_tool', '-change', name, `@loader_path/${own}`, next.file);
      if (seen.has(own)) continue;
      seen.add(own);
      const source = [name, join(next.from, own), join(capture('brew', '--prefix').trim(), 'lib', own)].find(
        existsSync,
      );
      if (!source) fail(`${name}, which ${basename(next.file)} needs, was not found`);
      const real = realpathSync(source);
      copyFileSync(real, join(folder, own));
      capture('chmod', 'u+w', join(folder, own));
      capture('install_name_tool', '-id', `@loader_path/${own}`, join(folder, own));
      sources.push(real);
      open.push({ file: join(folder, own), from: dirname(real) });
    }
  }
  // Changed files have no valid signature any more, and arm64 runs none without.
  for (const name of readdirSync(folder).filter((name) => addonFiles.test(name)))
    capture('codesign', '--force', '--sign', '-', join(folder, name));
  return sources;
}

export function strip(_, file) {
  capture('strip', '-x', file);
}

/** The licence of a bundled library, which lies in the folder of its Homebrew package: CELLAR/NAME/VERSION. */
export function licenceOf(_, source) {
  const [, folder, name] = /^(.*\/Cellar\/([^/]+)\/[^/]+)\//.exec(source) ?? [];
  const file = folder && readdirSync(folder).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
  if (!file) fail(`no licence of ${source} was found (looked for LICENSE in its folder of Homebrew)`);
  return { name, path: join(folder, file) };
}

/** Prints and checks which macOS everything in the folder needs. */
export function check(target, folder) {
  console.log(`macOS that ${target.name} needs (at most ${newest}):`);
  for (const name of readdirSync(folder).filter((name) => addonFiles.test(name))) {
    const version = /\bminos (\d+(\.\d+)*)/.exec(capture('otool', '-l', join(folder, name)))?.[1];
    console.log(`  ${name}: ${version ?? 'not said'}`);
    if (!version || Number.parseInt(version, 10) > newest)
      fail(`${name} needs macOS ${version}; at most ${newest} is promised`);
    const foreign = neededBy(join(folder, name)).filter(
      (path) => !provided.test(path) && !path.startsWith('@loader_path/'),
    );
    if (foreign.length > 0) fail(`${name} looks for ${foreign.join(', ')} outside of the package`);
  }
}
