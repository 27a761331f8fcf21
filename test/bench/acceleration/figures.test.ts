import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Figure, FigureContext } from '../../../bench/acceleration/figure.js';
import { activationsFigure } from '../../../bench/acceleration/figures/activations.js';
import { grownFigure, lastSwitch } from '../../../bench/acceleration/figures/grown.js';
import { momentsFor, type RecipeOf, SeedRecord, sourceName } from '../../../bench/acceleration/figures/support.js';
import { trainabilityFigure } from '../../../bench/acceleration/figures/trainability.js';
import { apollo } from '../../../lib/methods/index.js';
import { engineMissing, temporaryFolder } from '../../cli/support.js';

const skip = engineMissing();
const text = fileURLToPath(new URL('../../fixtures/text/sample_text.txt', import.meta.url));

/** A model and a length that take a second. */
const tiny: RecipeOf = () => ({
  model: {
    preset: 'bert-nano',
    layers: 4,
    hidden: 32,
    heads: 1,
    ffn: 64,
    vocabSize: 300,
    maxPositions: 16,
    dropout: 0,
    attentionDropout: 0,
  },
  steps: 20,
  batch: 4,
  heldOut: 0.2,
  learningRate: 2e-3,
  checkpointEvery: 4,
});

const root = temporaryFolder();
t.teardown(() => rmSync(root, { recursive: true, force: true }));

function contextOf(name: string, signal: AbortSignal, say: (line: string) => void = () => {}): FigureContext {
  const out = join(root, name);
  mkdirSync(out, { recursive: true });
  const run = { device: 'cpu', threads: 1, cache: join(root, 'cache'), seeds: 2, precision: 'f32' } as const;
  return { scale: 'nano', data: [text], out, run, signal, say };
}

/** Everything of result.json that is not a time. */
function numbers(folder: string): unknown {
  const result = JSON.parse(readFileSync(join(folder, 'result.json'), 'utf8')) as { values: unknown };
  return JSON.parse(JSON.stringify(result.values, (key, value: unknown) => (key === 'trainMs' ? 0 : value)));
}

const figures: readonly [(recipeOf: RecipeOf) => Figure, RegExp][] = [
  [activationsFigure, /seed 43: activations/],
  [trainabilityFigure, /seed 43: its interpolation/],
  [grownFigure, /seed 42, Apollo-I: to the end/],
];

for (const [make, stopAt] of figures) {
  const figure = make(tiny);
  t.test(`${figure.name} is made, and is the same after a stop and a resume`, { skip }, async (t) => {
    const whole = contextOf(`${figure.name}-whole`, new AbortController().signal);
    t.equal(await figure.make(whole), true);
    const page = readFileSync(join(whole.out, 'figure.md'), 'utf8');
    t.match(page, /^## /);
    t.notMatch(page, /NaN|undefined/);
    for (const [, picture] of page.matchAll(/\]\((\S+\.svg)\)/g)) t.ok(existsSync(join(whole.out, picture as string)));

    const controller = new AbortController();
    const stop = (line: string) => {
      if (stopAt.test(line)) controller.abort();
    };
    const cut = contextOf(`${figure.name}-cut`, controller.signal, stop);
    t.equal(await figure.make(cut), false);
    t.ok(controller.signal.aborted);
    t.equal(await figure.make({ ...cut, signal: new AbortController().signal }), true);
    t.same(numbers(cut.out), numbers(whole.out));

    const lines: string[] = [];
    t.equal(await figure.make({ ...whole, say: (line) => lines.push(line) }), true);
    t.ok(lines.includes('seed 42: finished before') && lines.includes('seed 43: finished before'));
  });
}

t.test('work of other settings is refused', async (t) => {
  const record = await SeedRecord.open(root, 7, { steps: 1 });
  t.equal(await record.once('piece', async () => 5), 5);
  const again = await SeedRecord.open(root, 7, { steps: 1 });
  t.equal(await again.once('piece', async () => 6), 5);
  await t.rejects(SeedRecord.open(root, 7, { steps: 2 }), { code: 'BAD_CONFIG' });
});

t.test('names, switches and moment rules', (t) => {
  t.equal(sourceName('layer.10.ffn.up.weight', [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]), 'layer.5.ffn.up.weight');
  t.equal(sourceName('head.bias', [0]), 'head.bias');
  t.equal(lastSwitch(apollo({ layers: 12, totalSteps: 800, seed: 1 }), 800), 200);
  t.same([momentsFor(800), momentsFor(300_000)], ['reset', 'copy']);
  t.end();
});
