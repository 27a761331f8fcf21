/** Whether a module is still at its place in the package, and the message when a bundler has moved it. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ApolloError } from './errors.js';

/** Folders between a module and the folder of the package, at most. */
const deepest = 6;

interface Manifest {
  readonly name?: unknown;
  readonly version?: unknown;
}

/** The package.json of the package of which `file` is a module: in its folder `lib` or `dist`. */
function manifestOf(file: string): Manifest | undefined {
  for (let up = 0, folder = new URL('.', file); up < deepest; up++, folder = new URL('..', folder)) {
    if (!/\/(lib|dist)\/$/.test(folder.pathname)) continue;
    try {
      const manifest = JSON.parse(readFileSync(new URL('../package.json', folder), 'utf8')) as Manifest;
      return manifest.name === 'apollo-lm' ? manifest : undefined;
    } catch {
      // None there, or one that is not JSON; the package may be in a folder of that name.
    }
  }
  return undefined;
}

/**
 * The URL of a module of this package that needs files next to it. `file` is its import.meta.url, which is undefined in a
 * bundle of CommonJS; `what` is what it needs them for.
 * @throws ApolloError NO_ADDON when the module was put into a bundle; names the options that keep the package out of one.
 */
export function moduleInPackage(file: string | undefined, what: string): string {
  if (file !== undefined && manifestOf(file)) return file;
  throw new ApolloError(
    'NO_ADDON',
    `The code of apollo-lm runs from ${file === undefined ? 'a bundle' : fileURLToPath(file)}, outside its package: a bundler ` +
      `has put it there, and ${what} cannot be bundled. Keep the package out of the bundle and install it beside it: ` +
      '--packages=external or --external:apollo-lm (esbuild), external: ["apollo-lm"] (Rollup, tsup), ' +
      'ssr.external (Vite), externals (webpack), serverExternalPackages (Next.js). See docs/troubleshooting.md#bundled-code.',
  );
}

/** The version of the package, from its package.json. @throws as `moduleInPackage`. */
export function packageVersion(): string {
  return String(manifestOf(moduleInPackage(import.meta.url, 'package.json'))?.version);
}
