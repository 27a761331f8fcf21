/** The rooms that users import as `apollo-lm/ROOM`, as package.json lists them. */
import { readFileSync } from 'node:fs';

interface Subpath {
  readonly default: string;
}
const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  exports: Record<string, Subpath | string>;
};

/** The source of each room, from the repository's root. */
export const sources: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(manifest.exports).flatMap(([subpath, target]) =>
    typeof target === 'object' && subpath !== '.'
      ? [[subpath.slice(2), target.default.replace('./dist/', 'lib/').replace(/\.js$/, '.ts')]]
      : [],
  ),
);

export const rooms: Readonly<Record<string, object>> = Object.fromEntries(
  await Promise.all(
    Object.entries(sources).map(
      async ([room, source]) =>
        [room, (await import(new URL(`../${source}`, import.meta.url).href)) as object] as const,
    ),
  ),
);
