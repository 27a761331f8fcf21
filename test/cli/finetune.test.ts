import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../lib/cli/run.js';
import { openDevice } from '../../lib/engine/index.js';
import { lockFolder } from '../../lib/fs/lock.js';
import { glueFixtures, tinyModelFolder } from '../eval/support.js';
import { engineMissing, type MemoryIo, memoryIo, temporaryFolder } from './support.js';

const skip = engineMissing();

async function modelFolder(kind: 'bert' | 'gpt', options: { bare?: boolean } = {}): Promise<string> {
  const device = await openDevice({ threads: 1 });
  try {
    return await tinyModelFolder(device, kind, options);
  } finally {
    await device.close();
  }
}

const common = ['--threads', '1', '--precision', 'f32'];
const tune = (model: string, out: string, ...more: string[]) => [
  'finetune',
  '--data',
  glueFixtures,
  '--model',
  model,
  '--out',
  out,
  '--epochs',
  '2',
  '--batch',
  '4',
  '--learning-rate',
  '1e-3',
  '--max-length',
  '24',
  ...common,
  ...more,
];

t.test('finetune, its report, and evaluate on what it saved', { skip }, async (t) => {
  const model = await modelFolder('bert');
  const out = join(temporaryFolder(), 'tuned');
  const io = memoryIo();
  t.equal(await run(tune(model, out, '--task', 'sst2', '--seeds', '2', '--from-scratch'), io), 0, io.err());
  t.match(io.out(), /SST-2, scores x 100/);
  for (const row of ['pre-trained', 'from scratch', 'majority class']) t.match(io.out(), new RegExp(`\n${row} `));
  const results = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')) as {
    task: string;
    variants: { name: string; seeds: { seed: number; epochs: object[]; best: { metrics: object } }[] }[];
    baselines: { name: string; metrics: object }[];
  };
  t.equal(results.task, 'sst2');
  t.same(
    results.variants.map(({ name, seeds }) => [name, seeds.map(({ seed, epochs }) => [seed, epochs.length])]),
    [
      [
        'pre-trained',
        [
          [42, 2],
          [43, 2],
        ],
      ],
      [
        'from scratch',
        [
          [42, 2],
          [43, 2],
        ],
      ],
    ],
  );
  // As many examples of both classes: the first class is the answer.
  t.same(results.baselines, [{ name: 'majority class', metrics: { dev: { accuracy: 1 / 3 } } }]);
  t.match(readFileSync(join(out, 'table.md'), 'utf8'), /\| pre-trained \|/);
  t.match(readFileSync(join(out, 'scores.svg'), 'utf8'), /^<svg/);

  const again = memoryIo();
  t.equal(
    await run(tune(model, out, '--task', 'sst2', '--seeds', '2', '--from-scratch', '--json'), again),
    0,
    again.err(),
  );
  t.notMatch(again.out(), /"type":"step"/, 'nothing is left to do');

  const tuned = join(out, 'pre-trained/seed-42/model');
  const predictions = join(out, 'predictions');
  const evaluate = memoryIo();
  const args = ['evaluate', '--model', tuned, '--data', glueFixtures, '--out', predictions, '--json', ...common];
  t.equal(await run(args, evaluate), 0, evaluate.err());
  const found = JSON.parse(evaluate.out()) as { task: { metrics: object; predictions: string[] } };
  t.same(found.task.metrics, results.variants[0]?.seeds[0]?.best.metrics);
  t.same(found.task.predictions, ['SST-2.tsv']);
  t.match(readFileSync(join(predictions, 'SST-2.tsv'), 'utf8'), /^index\tprediction\n0\t[01]\n1\t[01]\n$/);
  t.ok(existsSync(join(predictions, 'results.json')));

  const refused = memoryIo();
  t.equal(await run(['evaluate', '--model', tuned, '--task', 'stsb', '--data', glueFixtures, ...common], refused), 1);
  t.match(refused.err(), /was fine-tuned on sst2 \(classification of 2\); STS-B needs regression/);

  const exported = join(out, 'exported');
  const writing = memoryIo();
  t.equal(await run(['export', tuned, '--out', exported], writing), 0, writing.err());
  t.match(writing.out(), `transformers.AutoModelForSequenceClassification.from_pretrained("${exported}")`);
  const once = memoryIo();
  const theirs = ['evaluate', '--model', exported, '--data', glueFixtures, '--json', ...common];
  t.equal(await run([...theirs, '--task', 'sst2'], once), 0, once.err());
  t.same((JSON.parse(once.out()) as typeof found).task.metrics, found.task.metrics);
  for (const [args, message] of [
    [theirs, /For a model that Hugging Face's library saved, name the task/],
    [['export', tuned, '--out', exported, '--depth', 'stored'], /Remove --depth and --tokenizer/],
  ] as const) {
    const wrong = memoryIo();
    t.equal(await run(args, wrong), 1);
    t.match(wrong.err(), message);
  }
  for (const args of [
    tune(tuned, join(out, 'again'), '--task', 'sst2'),
    ['fill', '--model', tuned, 'a [MASK] film', ...common],
    ['generate', '--model', tuned, '--prompt', 'a film', ...common],
  ]) {
    const wrong = memoryIo();
    t.equal(await run(args, wrong), 1);
    t.match(wrong.err(), /holds a fine-tuned model \(sst2\).*export it first: apollo-lm export .* --out FOLDER/);
  }
  const head = memoryIo();
  t.equal(await run(['evaluate', '--model', tuned, '--text', join(glueFixtures, 'README.md'), ...common], head), 1);
  t.match(head.err(), /has no language-model head/);
});

t.test('a GPT on pairs and on two splits; a score', { skip }, async (t) => {
  const model = await modelFolder('gpt');
  const out = temporaryFolder();
  const io = memoryIo();
  t.equal(await run(tune(model, join(out, 'mnli'), '--task', 'MNLI', '--examples', '2'), io), 0, io.err());
  t.match(io.out(), /accuracy, matched\s+accuracy, mismatched/);
  const number = memoryIo();
  t.equal(await run(tune(model, join(out, 'stsb'), '--task', 'stsb'), number), 0, number.err());
  t.match(number.out(), /mean score +- +-/, 'a constant has no correlation');
});

t.test('Ctrl-C stops, and the same command resumes', { skip }, async (t) => {
  const model = await modelFolder('bert');
  const out = join(temporaryFolder(), 'cut');
  const command = tune(model, out, '--task', 'sst2', '--json');
  const press = (text: string, io: MemoryIo) => {
    if (text.includes('"type":"epoch"')) io.interrupt();
  };
  const io = memoryIo({ onWrite: press });
  t.equal(await run(command, io), 130);
  const next = memoryIo();
  t.equal(await run(command, next), 0, next.err());
  t.match(next.out(), /"type":"start","seed":42,"steps":6,"epochsDone":1/);
});

t.test('evaluate: text and LAMBADA', { skip }, async (t) => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'text.txt'), 'the actors shine and it moves and it sings. '.repeat(20));
  writeFileSync(
    join(folder, 'lambada.jsonl'),
    '{"text":"birds sing and dogs bark at night"}\n{"text":"the cat sat"}\n',
  );
  const model = await modelFolder('gpt');
  const io = memoryIo();
  const args = [
    'evaluate',
    '--model',
    model,
    '--text',
    join(folder, 'text.txt'),
    '--lambada',
    join(folder, 'lambada.jsonl'),
  ];
  t.equal(await run([...args, '--out', join(folder, 'out'), ...common], io), 0, io.err());
  t.match(io.out(), /text: loss \d+\.\d{4} per token, perplexity .* bits per byte/);
  t.match(io.out(), /LAMBADA: accuracy \d+\.\d\d %, perplexity of the last word .* \(2 passages\)/);
  const saved = JSON.parse(readFileSync(join(folder, 'out/results.json'), 'utf8')) as Record<string, object>;
  t.match(saved, { text: { of: 'token', documents: 1 }, lambada: { passages: 2 } });

  const masked = memoryIo();
  const bert = await modelFolder('bert');
  t.equal(
    await run(['evaluate', '--model', bert, '--text', join(folder, 'text.txt'), ...common], masked),
    0,
    masked.err(),
  );
  t.match(masked.out(), /per masked token/);
  const wrong = memoryIo();
  t.equal(await run(['evaluate', '--model', bert, '--lambada', join(folder, 'lambada.jsonl'), ...common], wrong), 1);
  t.match(wrong.err(), /^apollo-lm: LAMBADA requires a prediction of the next word/);
});

t.test("a user's mistakes get one message each", { skip }, async (t) => {
  const model = await modelFolder('bert');
  const bare = await modelFolder('bert', { bare: true });
  const out = join(temporaryFolder(), 'none');
  const refuses = async (args: string[], message: RegExp) => {
    const io = memoryIo();
    t.equal(await run(args, io), 1, message.source);
    t.match(io.err(), message);
    t.notMatch(io.err(), /defect|\n {4}at /);
  };
  await refuses(tune(model, out, '--task', 'wnli'), /no task "wnli"/);
  await refuses(tune(bare, out, '--task', 'sst2'), /no tokenizer beside the model.*--tokenizer/);
  await refuses(tune('/nowhere', out, '--task', 'sst2'), /no model in \/nowhere/);
  await refuses(tune(model, out, '--task', 'sst2', '--data', '/nowhere'), /\/nowhere has no train\.tsv .*of SST-2/);
  await refuses(tune(model, out, '--task', 'sst2', '--max-length', '4096'), /48 positions; got 4096/);
  await refuses(
    tune(model, out, '--task', 'sst2', '--baseline', 'luck'),
    /--baseline must be one of majority, scratch, none/,
  );
  await refuses(
    tune(model, out, '--task', 'sst2', '--baseline', 'none,scratch'),
    /--baseline: "none" is given beside scratch/,
  );
  await refuses(tune(model, out, '--task', 'sst2', '--seeds', '0'), /--seeds must be at least 1/);
  await refuses(['evaluate', '--model', model, ...common], /Nothing to measure/);
  await refuses(['evaluate', '--model', model, '--data', glueFixtures, ...common], /no fine-tuned model in/);
  await refuses(['evaluate', '--model', model, '--task', 'sst2', ...common], /--task needs --data/);
  const text = join(glueFixtures, 'README.md');
  await refuses(
    ['evaluate', '--model', model, '--data', glueFixtures, '--text', text, ...common],
    /--text: this measures a language model.*Measure them in two calls/,
  );
  await refuses(
    ['evaluate', '--model', model, '--data', glueFixtures, '--tokenizer', 'x', ...common],
    /--tokenizer: this is an option of --text and --lambada/,
  );
  await refuses(
    ['evaluate', '--model', model, '--lambada', text, '--stride', '4', ...common],
    /--stride: this is an option of --text\./,
  );
  await refuses(
    ['evaluate', '--model', model, '--text', text, '--n-best', '4', ...common],
    /--n-best: this is an option of a task\. Add --data/,
  );
  await refuses(
    ['evaluate', '--model', model, '--text', text, '--no-header', ...common],
    /header is for CSV or TSV, and none of the files is that: .*README\.md is read as text\. Name their format/,
  );
  await refuses(
    ['evaluate', '--model', model, '--text', '/nowhere.txt', ...common],
    /no file or folder \/nowhere\.txt/,
  );
  t.notOk(existsSync(out), 'nothing is left behind');
});

t.test('finetune: a second process on one folder is refused; a file in its place is no defect', { skip }, async (t) => {
  const model = await modelFolder('bert');
  const out = join(temporaryFolder(), 'tuned');
  mkdirSync(out);
  const lock = await lockFolder(out, 'apollo-lm finetune');
  const io = memoryIo();
  t.equal(await run(tune(model, out, '--task', 'sst2'), io), 1);
  t.match(io.err(), /in use by this process itself \(apollo-lm finetune.*Nothing was changed/);
  t.same(readdirSync(out), ['run.lock']);
  await lock.release();
  writeFileSync(join(out, 'file'), 'x');
  for (const [place, message] of [
    [join(out, 'file'), /The folder of the run cannot be written: .*\(EEXIST\)/],
    ['', /--out: expected a value; got an empty one/],
  ] as const) {
    const refused = memoryIo();
    t.equal(await run(tune(model, place, '--task', 'sst2'), refused), 1);
    t.match(refused.err(), message);
    t.notMatch(refused.err(), /defect/);
  }
  const missing = memoryIo();
  const fresh = join(out, 'new/deep');
  t.equal(await run(tune('nowhere', fresh, '--task', 'sst2'), missing), 1);
  t.same(readdirSync(out), ['file'], 'a start that fails takes its empty folders along');
});
