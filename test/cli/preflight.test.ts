/** Errors that do not depend on the text are reported before any text is read: here there is none. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../lib/cli/run.js';
import { fixture } from '../data/support.js';
import { engineMissing, memoryIo, temporaryFolder } from './support.js';
import { tinyConfig } from './tiny.js';

const skip = engineMissing();
const bert = { preset: 'bert-nano', layers: 2, hidden: 64, heads: 1, ffn: 64, maxPositions: 16 };

type Case = readonly [what: string, settings: Readonly<Record<string, unknown>>, message: RegExp];

const both: readonly Case[] = [
  ['a sequence beyond the positions', { seq: 17 }, /train\.seq: at most the model's 16 positions; got 17/],
  ['a GPT of one token', { seq: 1 }, /train\.seq: at least 2 for a GPT/],
  ['a BERT of two tokens', { model: bert, seq: 2 }, /train\.seq: at least 3 for a BERT/],
  ['a warm-up longer than the run', { warmup: 20 }, /--warmup: at most the 8 steps of the run; got 20/],
  ["a method's setting that does not exist", { methodOptions: { apollo: { smapler: 'edge' } } }, /smapler/],
  ['layers that the model does not have', { methodOptions: { apollo: { stageLayers: [1, 9] } } }, /apollo/],
  ['a BERT with a tokenizer without masks', { model: bert, tokenizer: 'bpe' }, /--tokenizer: a BERT requires \[MASK\]/],
  [
    'a BERT with the tokenizer of a GPT',
    { model: bert, vocabSize: 60_000, tokenizer: fixture('tokenizers/gpt2/tokenizer.json.gz') },
    /needs \[MASK\], \[CLS\] and \[SEP\]/,
  ],
  ['a tokenizer with more tokens than the model', { tokenizer: fixture('tokenizers/gpt2/tokenizer.json.gz') }, /50257/],
  ['a model to begin with that is not there', { init: 'nowhere' }, /There is no model in .*nowhere/],
  ['a vocabulary too small to train', { vocabSize: 100 }, /The vocabSize of a \w+ tokenizer must be/],
];

const only: Readonly<Record<'train' | 'compare', readonly Case[]>> = {
  train: [
    [
      'evaluations without held-out text',
      { heldOut: 0 },
      /--held-out: it must be above 0 here, since --evaluate-every/,
    ],
    [
      'a source that is not there',
      { method: 'bert2bert', methodOptions: { bert2bert: { source: 'nowhere' } } },
      /nowhere/,
    ],
  ],
  compare: [
    [
      'no held-out text',
      { heldOut: 0, evaluateEvery: undefined },
      /--held-out: it must be above 0 here, since methods/,
    ],
    ['a method twice', { methods: ['scratch', 'scratch'] }, /each method once/],
    ['a seed twice', { seeds: [1, 1] }, /each seed once/],
    [
      'a smaller model that cannot be',
      { methods: ['scratch', 'bert2bert'], small: { hidden: 60, heads: 7 } },
      /small\.heads: must be at most/,
    ],
  ],
};

for (const command of ['train', 'compare'] as const) {
  for (const [what, settings, message] of [...both, ...only[command]]) {
    t.test(`${command}: ${what}`, { skip }, async (t) => {
      const folder = temporaryFolder();
      const config = tinyConfig(folder, { data: 'nowhere.txt', ...settings });
      const io = memoryIo();
      t.equal(await run([command, '--config', config, '--out', join(folder, 'out')], io), 1);
      t.match(io.err(), message);
      t.notMatch(io.err(), /nowhere\.txt/);
      t.notOk(existsSync(join(folder, 'out')), 'the folder is free for the next try');
    });
  }
}

t.test('options that do not fit a format are refused before any file is read', { skip }, async (t) => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'a.txt'), Buffer.from([0xff])); // would be refused, were it read
  for (const name of ['b.csv', 'b.jsonl', 'b.parquet']) writeFileSync(join(folder, name), 'x');
  for (const [flags, message] of [
    [['b.csv', '--no-header'], /without a header, a column is known by its number/],
    [['b.jsonl', '--field', '2'], /fields of JSON lines have names/],
    [['b.parquet', '--field', '2'], /columns of Parquet have names/],
  ] as const) {
    const [file, ...rest] = flags;
    const io = memoryIo();
    const data = ['--data', join(folder, 'a.txt'), join(folder, file)];
    t.equal(await run(['prepare', ...data, ...rest, '--cache', join(folder, 'cache')], io), 1);
    t.match(io.err(), message);
  }
});

t.test('a settings file may begin with a byte order mark', async (t) => {
  const path = join(temporaryFolder(), 'bom.json');
  writeFileSync(path, `\ufeff${JSON.stringify({ steps: 0 })}`);
  const io = memoryIo();
  t.equal(await run(['plan', '--config', path], io), 1);
  t.match(io.err(), /bom\.json: steps: expected at least 1; got 0/);
});

t.test('a settings file in UTF-16 is called that', async (t) => {
  const folder = temporaryFolder();
  const json = JSON.stringify({ steps: 10 });
  for (const [name, bytes] of [
    ['mark.json', Buffer.from(`\ufeff${json}`, 'utf16le')],
    ['little.json', Buffer.from(json, 'utf16le')],
    ['big.json', Buffer.from(`\ufeff${json}`, 'utf16le').swap16()],
  ] as const) {
    const path = join(folder, name);
    writeFileSync(path, bytes);
    const io = memoryIo();
    t.equal(await run(['plan', '--config', path], io), 1);
    t.match(io.err(), new RegExp(`${name} is UTF-16, expected UTF-8: save it as UTF-8\\.`));
  }
});

t.test('a text too short to hold a part out: what is advised is accepted', { skip }, async (t) => {
  const folder = temporaryFolder();
  const config = tinyConfig(folder, { evaluateEvery: undefined, heldOut: 0.02, data: 'short.txt', steps: 2 });
  writeFileSync(join(folder, 'short.txt'), 'the cat sees a dog and runs home over hills '.repeat(40));
  const io = memoryIo();
  t.equal(await run(['train', '--config', config, '--out', join(folder, 'a')], io), 1);
  t.match(io.err(), /too few to hold a part out .*--held-out 0 with prepare and train/);
  for (const command of ['prepare', 'train']) {
    const again = memoryIo();
    const out = command === 'train' ? ['--out', join(folder, 'b')] : [];
    t.equal(await run([command, '--config', config, '--held-out', '0', ...out], again), 0, again.err());
    t.notMatch(again.out() + again.err(), /NaN/);
  }
});

t.test('a text without a whole row leaves the folder free', { skip }, async (t) => {
  const folder = temporaryFolder();
  const config = tinyConfig(folder, { evaluateEvery: undefined, heldOut: 0, data: 'short.txt', steps: 2 });
  writeFileSync(join(folder, 'short.txt'), 'the cat');
  for (const _ of [1, 2]) {
    const io = memoryIo();
    t.equal(await run(['train', '--config', config, '--out', join(folder, 'a')], io), 1);
    t.match(io.err(), /too few for one row of \d+\. Add text, or use shorter rows \(--seq\)/);
  }
});

t.test('a BERT of three tokens and one row trains: each row has a mask', { skip }, async (t) => {
  const folder = temporaryFolder();
  const config = tinyConfig(folder, { model: bert, seq: 3, batch: 1, steps: 6 });
  const io = memoryIo();
  t.equal(await run(['train', '--config', config, '--json', '--out', join(folder, 'out')], io), 0, io.err());
  const events = io
    .out()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; loss?: number; lossFull?: number; applied?: boolean });
  const steps = events.filter(({ type }) => type === 'step');
  t.equal(steps.length, 6);
  t.ok(steps.every(({ loss, applied }) => loss! > 0 && applied));
  t.ok(events.filter(({ type }) => type === 'evaluation').every(({ lossFull }) => lossFull! > 0));
});

t.test('--data with a run, a model and a cache in it reads the rest, and says so', { skip }, async (t) => {
  const folder = temporaryFolder();
  const config = tinyConfig(folder, { steps: 2 });
  const first = memoryIo();
  t.equal(await run(['train', '--config', config, '--out', join(folder, 'runs', 'one')], first), 0, first.err());
  const exported = memoryIo();
  t.equal(await run(['export', join(folder, 'runs', 'one'), '--out', join(folder, 'hf')], exported), 0, exported.err());
  const io = memoryIo();
  t.equal(await run(['prepare', '--config', config, '--data', folder, '--json'], io), 0, io.err());
  const { stats, notes } = JSON.parse(io.out()) as { stats: { files: number }; notes: string[] };
  t.equal(stats.files, 1, 'text.txt alone');
  for (const what of ['runs/one (a run', 'hf (a model', 'cache (a cache']) t.match(notes[0], what);
});
