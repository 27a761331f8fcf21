import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../lib/cli/run.js';
import { readResults } from '../../lib/report/results.js';
import { engineMissing, memoryIo, temporaryFolder } from './support.js';
import { tinyConfig } from './tiny.js';

const folder = temporaryFolder();
const config = tinyConfig(folder);
const skip = engineMissing();
const losses = async (out: string) =>
  (await readResults(join(out, 'results.json'))).runs.map((each) => [
    each.method,
    each.seed,
    each.finished,
    each.evaluations.map((point) => [
      point.step,
      point.lossFull,
      point.flopsModel,
      point.flopsLayers,
      point.flopsExecuted,
    ]),
  ]);

t.test('a small comparison leaves results, a page, a picture and a table', { skip }, async (t) => {
  const out = join(folder, 'whole');
  const io = memoryIo();
  t.equal(await run(['compare', '--config', config, '--out', out, '--seeds', '2'], io), 0, io.err());
  t.match(io.out(), /^method +final loss +saved FLOPs/);
  t.match(io.out(), /scratch \(reference\)/);
  t.match(io.out(), new RegExp(`report: ${join(out, 'report.html')}\n$`));
  for (const file of ['results.json', 'report.html', 'loss-flops.svg', 'table.md', 'settings.json', 'tokenizer.json']) {
    t.ok(existsSync(join(out, file)), file);
  }
  const results = await readResults(join(out, 'results.json'));
  t.same(
    results.runs.map((each) => [each.method, each.seed, each.finished, each.evaluations.map((point) => point.step)]),
    [
      ['scratch', 42, true, [0, 2, 4, 6, 8]],
      ['apollo', 42, true, [0, 2, 4, 6, 8]],
      ['scratch', 43, true, [0, 2, 4, 6, 8]],
      ['apollo', 43, true, [0, 2, 4, 6, 8]],
    ],
  );
  const [scratch, apollo] = results.runs;
  t.ok(apollo!.evaluations.at(-1)!.flopsModel < scratch!.evaluations.at(-1)!.flopsModel, 'Apollo spends less');
  t.ok(scratch!.evaluations.at(-1)!.lossFull < scratch!.evaluations[0]!.lossFull, 'and Scratch learns');
  t.match(readFileSync(join(out, 'loss-flops.svg'), 'utf8'), /^<svg /);

  const again = memoryIo();
  t.equal(await run(['compare', '--config', config, '--out', out], again), 1);
  t.match(again.err(), /holds an earlier run\. Add --resume/);
});

t.test('stopped by Ctrl-C and resumed, it gives the same figures', { skip }, async (t) => {
  const whole = join(folder, 'reference');
  t.equal(await run(['compare', '--config', config, '--out', whole, '--json'], memoryIo()), 0);
  const out = join(folder, 'cut');
  let steps = 0;
  const io = memoryIo({
    onWrite(written, self) {
      if (written.includes('"type":"step"') && ++steps === 5) self.interrupt();
    },
  });
  t.equal(await run(['compare', '--config', config, '--out', out, '--json'], io), 130);
  t.ok((await losses(out)).some(([, , finished]) => finished === false));
  const resumed = memoryIo();
  t.equal(await run(['compare', '--resume', '--out', out], resumed), 0, resumed.err());
  t.same(await losses(out), await losses(whole), 'the same bits');
});

t.test(
  'methods and seeds that a resume adds stay, also when it is resumed again without naming them',
  { skip },
  async (t) => {
    const out = join(folder, 'added');
    const compare = async (...args: string[]) => {
      const io = memoryIo();
      t.equal(await run(['compare', ...args, '--out', out], io), 0, io.err());
      return io;
    };
    const names = async () => (await losses(out)).map(([method, seed]) => `${method} ${seed}`);
    await compare('--config', config);
    await compare('--resume', '--methods', 'scratch,apollo,stackbert', '--set', 'stackbert.moments=copy');
    await compare('--resume', '--seeds', '2');
    const all = await losses(out);
    t.same((await names()).sort(), [
      ...['apollo 42', 'apollo 43', 'scratch 42', 'scratch 43', 'stackbert 42', 'stackbert 43'],
    ]);
    await compare('--resume');
    t.same(await losses(out), all);
    await compare('--resume', '--methods', 'scratch,stackbert');
    t.same((await losses(out)).sort(), all.sort(), 'records of a method that is left out are kept');

    const results = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8'));
    for (const each of results.runs) if (each.method === 'stackbert') each.evaluations = [];
    writeFileSync(join(out, 'results.json'), JSON.stringify(results));
    const io = await compare('--resume');
    t.match(
      io.err(),
      /has no evaluations of stackbert-42, which is finished, .* remove the folder .*stackbert-42 and resume/,
    );
  },
);

t.test('methods of a resume that fails before it trains are not kept', { skip }, async (t) => {
  const out = join(folder, 'failed');
  const compare = async (...args: string[]) => {
    const io = memoryIo();
    const code = await run(['compare', ...args, '--out', out], io);
    return { code, err: io.err() };
  };
  t.match(await compare('--config', config), { code: 0 });
  const kept = readFileSync(join(out, 'settings.json'), 'utf8');
  const added = ['--resume', '--methods', 'scratch,apollo,dpt', '--seeds', '2'];
  t.match(await compare(...added), { code: 1, err: /dpt\.mixingSteps/ });
  t.equal(readFileSync(join(out, 'settings.json'), 'utf8'), kept);
  t.match(await compare('--resume'), { code: 0 });
});

t.test('a resume with other settings adds nothing to the folder', { skip }, async (t) => {
  const out = join(folder, 'other-settings');
  t.equal(await run(['compare', '--config', config, '--out', out], memoryIo()), 0);
  const files = ['results.json', 'settings.json', 'tokenizer.json', 'report.html'];
  const texts = () => files.map((file) => readFileSync(join(out, file), 'utf8'));
  const before = texts();
  const io = memoryIo();
  const other = ['--methods', 'midas,unshare', '--steps', '24', '--learning-rate', '0.05'];
  t.equal(await run(['compare', '--resume', '--out', out, ...other], io), 1);
  t.match(io.err(), /holds a comparison whose runs had other settings:\n {2}steps: 24, was 8\n/);
  t.match(io.err(), /\n {2}learningRate: 0\.05, was 0\.005\n/);
  t.same(texts(), before);
  t.notOk(existsSync(join(out, 'midas-42')));
});

t.test('--json writes one event a line, and the results at the end', { skip }, async (t) => {
  const io = memoryIo();
  t.equal(await run(['compare', '--config', config, '--out', join(folder, 'json'), '--json'], io), 0);
  const lines = io
    .out()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  t.match(lines[0], { method: 'scratch', seed: 42, type: 'start' });
  t.match(lines.at(-1), { type: 'results', analysis: { reference: 'scratch' } });
  t.equal(lines.filter((line) => line['type'] === 'step').length, 16);
  t.equal(io.err(), '', 'nothing for people where nobody looks');
});

t.test('train: one run, its events, and a resume after Ctrl-C', { skip }, async (t) => {
  const out = join(folder, 'train');
  const io = memoryIo({
    onWrite(written, self) {
      if (written.startsWith('step 4: held-out')) self.interrupt();
    },
  });
  t.equal(await run(['train', '--config', config, '--out', out], io), 130, io.err());
  t.match(io.err(), /Stopping:/);
  t.match(io.err(), new RegExp(`Stopped\\. Resume with: apollo-lm train --resume --out ${out}`));
  const resumed = memoryIo();
  t.equal(await run(['train', '--resume', '--out', out], resumed), 0, resumed.err());
  t.match(resumed.err(), /resumed from .*step-00000004, step 4 of 8/);
  const events = readFileSync(join(out, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.same(
    events.filter((event) => event.type === 'step').map((event) => event.step),
    [1, 2, 3, 4, 5, 6, 7, 8],
  );
  t.match(events.at(-1), { type: 'done', complete: true });
});

t.test('bert2BERT starts from a smaller model, trained first and charged apart', { skip }, async (t) => {
  const out = join(folder, 'grown');
  const wider = [
    '--set',
    'model.hidden=128',
    'model.heads=2',
    'model.ffn=128',
    'small.steps=4',
    'small.hidden=64',
    'small.heads=1',
  ];
  const methods = ['--methods', 'scratch,bert2bert', ...wider];
  const io = memoryIo({
    onWrite(text, terminal) {
      if (/small +step/.test(text)) terminal.interrupt();
    },
  });
  t.equal(await run(['compare', '--config', config, '--out', out, ...methods], io), 130);
  t.match(io.err(), /Stopped\. Resume with: apollo-lm compare --resume --out /);
  const second = memoryIo();
  t.equal(await run(['compare', '--resume', '--out', out], second), 0, second.err());
  const { runs } = await readResults(join(out, 'results.json'));
  t.same(
    runs.map(({ method, finished }) => [method, finished]),
    [
      ['scratch', true],
      ['bert2bert', true],
    ],
  );
  // Small: 2 layers of 64 with feed-forward 64: 8 * 64^2 + 4 * 64 * 64 + 4 * 16 * 64 = 53,248 a token; head 2 * 64 * 300.
  const source = runs[1]!.source!;
  t.equal(source.flopsModel, 3 * (2 * 53_248 + 38_400) * 4 * 2 * 16);
  t.equal(source.flopsLayers, 3 * 2 * 53_248 * 4 * 2 * 16);
  t.equal(runs[0]!.source, undefined);
  t.ok(existsSync(join(out, 'small-42')), 'the smaller model is kept');
});

t.test('steps of the compared runs are none of the smaller one: --keep-at, --warmup', { skip }, async (t) => {
  const out = join(folder, 'shorter');
  const small = ['small.steps=3', 'small.hidden=64', 'small.heads=1'];
  const wider = ['--set', 'model.hidden=128', 'model.heads=2', 'model.ffn=128', ...small];
  const flags = ['--methods', 'scratch,bert2bert', '--steps', '6', '--keep-at', '5', '--warmup', '4', ...wider];
  const io = memoryIo();
  t.equal(await run(['compare', '--config', config, '--out', out, '--json', ...flags], io), 0, io.err());
  const rates = io
    .out()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ method, type }) => method === 'small' && type === 'step')
    .map(({ learningRate }) => learningRate);
  t.same(rates, [0, 0.0025, 0.005], 'two steps of three warm up, as four of six');
});

t.test(
  'a Llama whose heads share keys and values: from scratch, grown in depth, and from a smaller one',
  { skip },
  async (t) => {
    const own = temporaryFolder();
    const sizes = { layers: 2, hidden: 64, heads: 4, keyValueHeads: 2, ffn: 64, maxPositions: 16 };
    const small = { layers: 1, hidden: 32, heads: 2, ffn: 32, steps: 4 };
    const llama = tinyConfig(own, {
      model: { preset: 'llama-nano', ...sizes },
      methods: ['scratch', 'auto', 'net2net'],
      small,
    });
    const out = join(own, 'compared');
    const io = memoryIo();
    t.equal(await run(['compare', '--config', llama, '--out', out], io), 0, io.err());
    const { runs } = await readResults(join(out, 'results.json'));
    t.same(
      runs.map(({ method, finished, evaluations }) => [
        method,
        finished,
        evaluations.every(({ lossFull }) => lossFull < 10),
      ]),
      ['scratch', 'auto', 'net2net'].map((method) => [method, true, true]),
    );
    const uneven = memoryIo();
    const odd = ['--out', join(own, 'odd'), '--set', 'small.heads=3', 'small.hidden=48'];
    t.equal(await run(['compare', '--config', llama, ...odd], uneven), 1);
    t.match(uneven.err(), /small\.heads: must be a multiple of the 2 that share a key\/value head; got 3/);
  },
);

t.test('train with bert2BERT says that it needs a trained smaller model', { skip }, async (t) => {
  const io = memoryIo();
  const out = join(folder, 'sourceless');
  t.equal(await run(['train', '--config', config, '--method', 'bert2bert', '--out', out], io), 1);
  t.match(io.err(), /bert2bert\.source/);
});
