import { readFileSync, writeFileSync } from 'node:fs';
import { cp, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { GlueExample } from '../../../../lib/eval/finetune/glue/task.js';
import type { SplitKind } from '../../../../lib/eval/finetune/task.js';
import { type FineTuneTask, taskByName, taskNames } from '../../../../lib/eval/index.js';
import { shared } from '../../../data/support.js';
import { glueFixtures, temporaryFolder } from '../../support.js';

const task = (name: string) => taskByName(name) as FineTuneTask<GlueExample>;
const all = ['train', 'evaluations', 'tests'] as const;

t.test('every task reads the official layout', async (t) => {
  const counts: Record<string, unknown> = {};
  for (const name of ['cola', 'sst2', 'mrpc', 'stsb', 'qqp', 'mnli', 'qnli', 'rte']) {
    t.ok(taskNames.includes(name));
    const { train, evaluations, tests } = await task(name).read(glueFixtures, all);
    counts[name] = [train, ...evaluations.map((split) => split.examples), ...tests.map((split) => split.examples)].map(
      ({ length }) => length,
    );
    for (const { label } of [...train, ...evaluations.flatMap(({ examples }) => examples)]) t.type(label, 'number');
    for (const { label, a } of tests.flatMap(({ examples }) => examples)) t.ok(label === undefined && a.length > 3);
  }
  t.same(counts, {
    cola: [5, 2, 3],
    sst2: [12, 3, 2],
    mrpc: [3, 2, 1],
    stsb: [3, 3, 1],
    qqp: [2, 1, 1],
    mnli: [3, 1, 2, 1, 1],
    qnli: [2, 1, 1],
    rte: [2, 1, 1],
  });
});

t.test('rows are taken as they stand: quotes, the byte order mark, line ends, columns', async (t) => {
  const cola = await task('cola').read(glueFixtures, all);
  t.match(cola.train[2], { a: 'She said "no and left.', label: 1 });
  const mrpc = await task('mrpc').read(join(glueFixtures, 'MRPC'), all); // the task's own folder
  t.match(mrpc.train[1], { a: 'Rain fell in the north .', b: 'The north expects snow .', label: 0 });
  const stsb = await task('stsb').read(glueFixtures, all);
  t.match(stsb.train[2], { a: 'Two girls sing.', b: 'Two women sing.', label: 3.2 });
  const mnli = await task('mnli').read(glueFixtures, all);
  t.same(
    mnli.train.map(({ label }) => label),
    [1, 0, 2],
    'contradiction, entailment, neutral',
  );
  t.same(
    mnli.evaluations.map(({ name }) => name),
    ['matched', 'mismatched'],
  );
  t.match(mnli.evaluations[0]?.examples[0], { a: 'Snow fell.', b: 'It snowed.', label: 1 });
  const qqp = await task('qqp').read(glueFixtures, all);
  t.match(qqp.notes, [/QQP\/train\.tsv: 1 incomplete lines were skipped/]);
});

t.test('only what is needed must be there', async (t) => {
  const folder = temporaryFolder();
  await cp(join(glueFixtures, 'RTE/dev.tsv'), join(folder, 'dev.tsv'));
  const { train, evaluations } = await task('rte').read(folder, ['evaluations']);
  t.same([train.length, evaluations[0]?.examples.length], [0, 1]);
  await t.rejects(task('rte').read(folder, ['train', 'evaluations']), {
    code: 'BAD_CORPUS',
    message: /has no train\.tsv.* of RTE\. .*RTE\/train\.tsv/,
  });
  await cp(join(glueFixtures, 'MNLI'), join(folder, 'MNLI'), { recursive: true });
  await rm(join(folder, 'MNLI/dev_mismatched.tsv'));
  t.equal((await task('mnli').read(folder, ['evaluations'])).evaluations.length, 1);
});

t.test('an error in a file names file and line', async (t) => {
  const folder = temporaryFolder();
  await mkdir(join(folder, 'SST-2'));
  const reads = async (text: string | Uint8Array) => {
    writeFileSync(join(folder, 'SST-2/dev.tsv'), text);
    return task('sst2').read(folder, ['evaluations']);
  };
  const refuses = (text: string | Uint8Array, message: RegExp) =>
    t.rejects(reads(text), { code: 'BAD_CORPUS', message });
  await refuses(
    'text\tlabel\nfine\t1\n',
    /SST-2\/dev\.tsv: there is no column "sentence" in its header \(text, label\)/,
  );
  await refuses('sentence\tlabel\nfine\t1\nbad\n', /dev\.tsv, line 3: 1 columns; expected 2/);
  await refuses('sentence\tlabel\nfine\t2\n', /dev\.tsv, line 2: the label is "2"; SST-2 has one of 0, 1/);
  await refuses('sentence\tlabel\nfine\t\nbad\t0\n', /line 2: the label is ""/);
  await refuses('sentence\tlabel\n', /holds no examples/);
  await refuses('', /no column "sentence" in its header \(an empty file\)/);
  await refuses(Uint8Array.of(0xff, 0xfe, 0x00), /cannot be read as text/);
  const header = readFileSync(join(glueFixtures, 'STS-B/dev.tsv'), 'utf8').split('\n')[0];
  await mkdir(join(folder, 'STS-B'));
  for (const wrong of ['5.1', 'high', '', '-1', 'NaN']) {
    writeFileSync(
      join(folder, 'STS-B/dev.tsv'),
      `${header}\n${[wrong, '1'].map((score) => `0\tg\tf\ty\t1\tn\tn\tA\tB\t${score}\n`).join('')}`,
    );
    await t.rejects(task('stsb').read(folder, ['evaluations']), {
      message: new RegExp(`the label is "${wrong}"; STS-B has a number from 0 to 5`),
    });
  }
});

t.test('a split without labels is refused, and only a test split may be one', async (t) => {
  const folder = temporaryFolder();
  const reads = async (name: string, file: string, text: string, need: readonly SplitKind[]) => {
    writeFileSync(join(folder, file), text);
    return task(name).read(folder, need);
  };
  const unlabelled = 'index\tsentence\n0\tfine\n1\tbad\n';
  await t.rejects(reads('sst2', 'dev.tsv', unlabelled, ['evaluations']), {
    message:
      /dev\.tsv: there is no column "label".* Evaluation requires a dev\.tsv with labels.* test\.tsv and give evaluate --out/,
  });
  for (const label of ['-1', '', '-1.0']) {
    const text = `sentence\tlabel\nfine\t${label}\nbad\t${label}\n`;
    await t.rejects(reads('sst2', 'train.tsv', text, ['train']), {
      code: 'BAD_CORPUS',
      message: new RegExp(
        `train\\.tsv, the train split, has no labels: the label is "${label}" in all of its 2 rows\\. Training requires`,
      ),
    });
  }
  await rm(join(folder, 'dev.tsv'));
  const { evaluations, tests } = await reads('sst2', 'test.tsv', unlabelled, ['evaluations', 'tests']);
  t.same([evaluations, tests[0]?.examples.length], [[], 2], 'tests alone can be predicted');
  await t.rejects(task('sst2').read(folder, ['evaluations']), { message: /has no dev\.tsv/ });
  t.throws(() => task('sst2').score(tests[0]!.examples, [[Float32Array.of(1, 0)], [Float32Array.of(0, 1)]]), {
    code: 'BAD_CORPUS',
    message: /SST-2: example 0 has no label/,
  });
});

t.test('scores, baselines and submissions', async (t) => {
  const rows = (...values: number[][]) => values.map((row) => [Float32Array.from(row)]);
  const mrpc = await task('mrpc').read(glueFixtures, all);
  const dev = mrpc.evaluations[0]?.examples ?? [];
  t.same(task('mrpc').score(dev, rows([0, 2], [0, 1])), { f1: 2 / 3, accuracy: 0.5 });
  t.same(task('mrpc').baseline?.(mrpc.train, dev), { name: 'majority class', metrics: { f1: 2 / 3, accuracy: 0.5 } });
  const stsb = await task('stsb').read(glueFixtures, all);
  const mean = task('stsb').baseline?.(stsb.train, stsb.evaluations[0]?.examples ?? []);
  t.equal(mean?.name, 'mean score');
  t.ok(Number.isNaN(mean?.metrics['pearson']), 'a constant has no correlation');
  const perfect = task('stsb').score(stsb.evaluations[0]?.examples ?? [], rows([5], [0.25], [3.9]));
  for (const value of Object.values(perfect)) t.ok(Math.abs(value - 1) < 1e-6, `${value}`);

  const file = async (name: string, index: number, ...values: number[][]) => {
    const { tests } = await task(name).read(glueFixtures, all);
    return task(name).predictions(tests[index]!, rows(...values));
  };
  t.same(await file('cola', 0, [1, 0], [0, 1], [2, 1]), {
    name: 'CoLA.tsv',
    text: 'index\tprediction\n0\t0\n1\t1\n2\t0\n',
  });
  t.same(await file('stsb', 0, [5.5]), { name: 'STS-B.tsv', text: 'index\tprediction\n0\t5.000\n' });
  t.same(await file('mnli', 1, [0, 0, 1]), { name: 'MNLI-mm.tsv', text: 'index\tprediction\n0\tneutral\n' });
  t.same(await file('rte', 0, [0, 1]), { name: 'RTE.tsv', text: 'index\tprediction\n0\tnot_entailment\n' });
});

t.test('a task that is not known is refused with those that are', async (t) => {
  t.equal(taskByName('SST-2').name, 'sst2');
  t.throws(() => taskByName('wnli'), {
    code: 'BAD_CONFIG',
    message: /no task "wnli"; did you mean "mnli"\? Known: cola, sst2/,
  });
});

const glue = shared('glue');
t.test('the official files have the rows they should', { skip: glue.skip }, async (t) => {
  const expected = {
    sst2: [67349, 872, 1821],
    cola: [8551, 1043, 1063],
    mrpc: [3667, 408, 1725], // the copy at hand lacks one of the 3668 training rows
    stsb: [5749, 1500, 1379],
  };
  for (const [name, counts] of Object.entries(expected)) {
    const { train, evaluations, tests } = await task(name).read(glue.path, all);
    t.same([train.length, evaluations[0]?.examples.length, tests[0]?.examples.length], counts, name);
  }
  const qnli = await task('qnli').read(glue.path, ['evaluations']);
  t.equal(qnli.evaluations[0]?.examples.length, 5463, 'qnli');
});

const kshot = shared('glue-kshot');
t.test('draws of MNLI, QQP and QNLI in the official columns', { skip: kshot.skip }, async (t) => {
  const read = async (name: string, folder: string, need: ('train' | 'evaluations')[]) => {
    const { train, evaluations } = await task(name).read(join(kshot.path, folder), need);
    return [train.length, evaluations[0]?.examples.length];
  };
  t.same(await read('mnli', 'MNLI/16-13', ['train', 'evaluations']), [48, 48]);
  t.same(await read('qqp', 'QQP/16-13', ['train', 'evaluations']), [32, 32]);
  t.same(await read('qnli', 'QNLI/16-13', ['train']), [32, undefined]);
});
