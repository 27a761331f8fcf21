import { readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import t from 'tap';
import { run } from '../../lib/cli/run.js';
import { loadSettings } from '../../lib/cli/settings/config.js';
import { readResults } from '../../lib/report/results.js';
import { openModelFolder } from '../../lib/train/index.js';
import { engineMissing, memoryIo, temporaryFolder } from './support.js';

const folder = temporaryFolder();
const golden = join(import.meta.dirname, '../fixtures/golden');
const text = join(folder, 'text.txt');
const words = ['the', 'cat', 'sees', 'a', 'dog', 'and', 'runs', 'home', 'over', 'hills'];
writeFileSync(text, Array.from({ length: 6000 }, (_, i) => words[(i * i + (i >> 3)) % words.length]).join(' '));
const base = {
  data: 'text.txt',
  heldOut: 0.1,
  cache: join(folder, 'cache'),
  batch: 2,
  evaluateEvery: 4,
  evaluationBatches: 2,
  learningRate: 0.005,
  precision: 'f32',
  threads: 1,
};
const sizes = { layers: 2, hidden: 64, ffn: 64, maxPositions: 16, dropout: 0.1 };
const models = {
  // Tables of 300 and 16 x 64; a layer 4 * 64^2 + 2 * 64 * 64, biases 5 * 64 + 64 and norms 4 * 64; final norm 2 * 64.
  gpt: { model: { preset: 'gpt-nano', ...sizes, heads: 1 }, parameters: 316 * 64 + 2 * (6 * 4096 + 10 * 64) + 128 },
  // A table of 300 x 64; a layer 3 * 64^2 with keys and values half as wide, 3 * 64 * 64 and norms 2 * 64; final norm 64.
  llama: { model: { preset: 'llama-nano', ...sizes, heads: 2 }, parameters: 300 * 64 + 2 * (6 * 4096 + 2 * 64) + 64 },
};
const file = (name: string, settings: object): string => {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify({ ...base, ...settings }));
  return path;
};
const skip = engineMissing();
const lossesOf = (out: string): number[] =>
  readFileSync(join(out, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; lossFull: number })
    .flatMap((event) => (event.type === 'evaluation' ? [event.lossFull] : []));

t.test('with init the model is that of the folder, fields can be changed, another can be named', async (t) => {
  t.equal(loadSettings({ flags: { init: 'x' } }).model, 'init');
  t.same(loadSettings({ flags: { init: 'x', model: { layers: 4 } } }).model, { preset: 'init', layers: 4 });
  t.equal(loadSettings({ flags: { init: 'x', model: 'bert-nano' } }).model, 'bert-nano');
  const config = join(folder, 'init.json');
  writeFileSync(config, JSON.stringify({ init: 'models/a' }));
  t.equal(loadSettings({ config, flags: {} }).init, join(folder, 'models/a'), 'relative to the file');
  t.equal(loadSettings({ config, flags: { init: 'b' } }).init, 'b');
});

for (const [kind, { model, parameters }] of Object.entries(models)) {
  t.test(`${kind}: a run continues an exported model, by another method and at another depth`, { skip }, async (t) => {
    const first = join(folder, kind, 'first');
    const config = file('first.json', { model, vocabSize: 300, steps: 12 });
    t.equal(await run(['train', '--config', config, '--method', 'scratch', '--out', first], memoryIo()), 0);
    const exported = join(folder, kind, 'exported');
    t.equal(await run(['export', first, '--out', exported], memoryIo()), 0);

    const next = file('next.json', { init: relative(folder, exported), steps: 8 });
    const again = join(folder, kind, 'again');
    const io = memoryIo({
      onWrite(written, self) {
        if (written.startsWith('step 4: held-out')) self.interrupt();
      },
    });
    t.equal(await run(['train', '--config', next, '--method', 'scratch', '--out', again], io), 130, io.err());
    t.equal(lossesOf(again)[0], lossesOf(first).at(-1), 'the held-out loss with which the other one ended, to the bit');
    const resumed = memoryIo();
    t.equal(await run(['train', '--resume', '--out', again], resumed), 0, resumed.err());

    // Stages of 2 and 4 layers: the first is the exported model.
    const grown = join(folder, kind, 'grown');
    const deeper = ['--set', 'model.layers=4', 'apollo.stageLayers=[2,4]', 'apollo.boundaries={"fractions":[0.5]}'];
    const methods = ['--methods', 'apollo,stackbert', '--set', 'stackbert.stageLayers=[2,4]', ...deeper.slice(1)];
    const compared = memoryIo();
    t.equal(await run(['compare', '--config', next, '--out', grown, ...methods], compared), 0, compared.err());
    const { runs, settings } = await readResults(join(grown, 'results.json'));
    t.same(
      runs.map(({ method, stages, source }) => [method, stages.map(({ trainedLayers }) => trainedLayers), source]),
      [
        ['apollo', [2, 4], undefined],
        ['stackbert', [2, 4], undefined],
      ],
    );
    t.equal(settings['starts from'], exported);
    await using checkpoint = await openModelFolder(join(grown, 'apollo-42'));
    t.match(checkpoint.config, { kind, layers: 4, hidden: 64, vocabSize: 300 });

    const plan = memoryIo();
    t.equal(
      await run(['plan', '--config', next, '--no-measure', '--method', 'scratch', '--json'], plan),
      0,
      plan.err(),
    );
    t.equal((JSON.parse(plan.out()) as { parameters: number }).parameters, parameters);
  });
}

t.test('what cannot start a run is refused by one message', async (t) => {
  const fails = async (args: string[], message: RegExp) => {
    const io = memoryIo();
    t.equal(await run(['train', '--config', file('fails.json', { steps: 4 }), ...args], io), 1);
    t.match(io.err(), message);
    t.notMatch(io.err(), /\n +at /);
  };
  const out = (name: string) => ['--out', join(folder, name)];
  await fails([...out('a'), '--init', join(golden, 'gpt2-ref')], /the model in .*gpt2-ref has no tokenizer/);
  await fails([...out('b'), '--init', join(folder, 'none')], /There is no model in .*none: there is no such folder/);
  await fails([...out('c'), '--model', 'init'], /there is no model "init".*"init" requires the setting init/);
  await fails(
    [...out('d'), '--init', join(golden, 'gpt2-ref'), '--set', 'model.heads=5'],
    /model\.heads must divide hidden \(32\); got 5/,
  );
});
