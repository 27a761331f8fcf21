import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import * as apollo from '../lib/index.js';

t.test('the package exports what a training script needs', async (t) => {
  for (const name of [
    'createMethod',
    'createModel',
    'openDevice',
    'prepareCorpus',
    'preset',
    'train',
    'trainingCorpus',
  ]) {
    t.type((apollo as Record<string, unknown>)[name], 'function', name);
  }
  t.ok(apollo.methodNames.includes('apollo'));
});

t.test('importing it loads no native code, and the pure parts work without the engine', async (t) => {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const script = `
    const { preset, createModel, createMethod } = await import('apollo-lm');
    const { spread } = await import('apollo-lm/report');
    const model = createModel(preset('gpt-nano'));
    const method = createMethod('apollo', { layers: 12, totalSteps: 100, seed: 1 });
    const loaded = process.report.getReport().sharedObjects.filter((path) => path.endsWith('apollo.node'));
    console.log(JSON.stringify([model.flopsPerToken(12, 128), method.plan(99).depth, spread([1, 3]).mean, loaded]));
  `;
  const output = execFileSync(process.execPath, ['scripts/ts.mjs', '--input-type=module', '--eval', script], {
    cwd: root,
    encoding: 'utf8',
  });
  // Training FLOPs of gpt-nano per token: 3 (12 (24 h^2 + 4 S h) + 2 h V) with h 128, S 128, V 8192.
  t.same(JSON.parse(output), [22_806_528, 12, 2, []]);
});
