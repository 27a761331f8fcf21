/** Where npm has put the chart library that pages draw with, as one file for browsers. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

export function chartLibrary(): string {
  const require = createRequire(import.meta.url);
  return join(dirname(require.resolve('echarts/package.json')), 'dist/echarts.common.min.js');
}
