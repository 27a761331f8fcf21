/**
 * The chart library that pages and pictures are drawn with, as one file for browsers and Node. The published package brings
 * it along (scripts/vendor.mjs), so that nobody installs 60 MB for it; a clone has it from npm.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);

/** The file. */
export function chartLibrary(): string {
  const bundled = fileURLToPath(new URL('vendor/echarts.common.min.cjs', import.meta.url));
  if (existsSync(bundled)) return bundled;
  return join(dirname(require.resolve('echarts/package.json')), 'dist/echarts.common.min.js');
}

/** The part that Node uses. */
interface Charts {
  init(
    element: null,
    theme: null,
    options: { renderer: 'svg'; ssr: true; width: number; height: number },
  ): { setOption(option: object): void; renderToSVGString(): string; dispose(): void };
}

let loaded: Charts | undefined;

export function loadCharts(): Charts {
  loaded ??= require(chartLibrary()) as Charts;
  return loaded;
}
