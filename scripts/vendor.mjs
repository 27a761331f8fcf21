// Puts the chart library next to the compiled code that uses it, with its licence: the published package does not depend on
// it. The ending .cjs, because the package's own scripts are ES modules.
import { copyFileSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const source = dirname(createRequire(import.meta.url).resolve('echarts/package.json'));
const target = join(root, 'dist/report/vendor');
mkdirSync(target, { recursive: true });
copyFileSync(join(source, 'dist/echarts.common.min.js'), join(target, 'echarts.common.min.cjs'));
for (const name of ['LICENSE', 'NOTICE']) copyFileSync(join(source, name), join(target, `echarts-${name}`));
