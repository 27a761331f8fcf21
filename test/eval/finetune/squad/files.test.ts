/** Which files are read, and what a task gets of them. */
import { copyFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readSquadFiles, squadPaths } from '../../../../lib/eval/finetune/squad/files.js';
import { failure, fixture } from '../../../data/support.js';
import { json } from './support.js';

const v1 = fixture('squad/made-up-v1.1.json');
const v2 = fixture('squad/made-up-v2.0.json');

t.test('files are found by name, each version its own', async (t) => {
  const names = [
    'train-v1.1.json',
    'train-v2.0.json.gz',
    'dev-v1.1.json',
    'dev-v2.0.json',
    'dev-extra.json',
    'test.json',
    'other.json',
    'train.txt',
  ];
  const folder = t.testdir(Object.fromEntries(names.map((name) => [name, ''])));
  const named = (version: 1 | 2) =>
    Object.fromEntries(
      Object.entries(squadPaths(folder, ['train'], version)).map(([kind, paths]) => [
        kind,
        paths.map((path: string) => path.slice(folder.length + 1)),
      ]),
    );
  t.same(named(1), {
    train: ['train-v1.1.json'],
    evaluations: ['dev-extra.json', 'dev-v1.1.json'],
    tests: ['test.json'],
  });
  t.same(named(2), {
    train: ['train-v2.0.json.gz'],
    evaluations: ['dev-extra.json', 'dev-v2.0.json'],
    tests: ['test.json'],
  });
  t.same(squadPaths(folder, ['train'], 1, { train: 'a.json', dev: 'b.json' }), {
    train: ['a.json'],
    evaluations: ['b.json'],
    tests: [join(folder, 'test.json')],
  });
});

t.test('a packed file beside itself counts once, and two files of one name are refused', async (t) => {
  const names = ['train-v1.1.json', 'train-v1.1.json.gz', 'dev-v1.1.json.gz', 'dev-v1.1.json'];
  const folder = t.testdir(Object.fromEntries(names.map((name) => [name, ''])));
  const paths = squadPaths(folder, ['train'], 1);
  t.same(paths.train, [join(folder, 'train-v1.1.json')]);
  t.same(paths.evaluations, [join(folder, 'dev-v1.1.json')]);
  writeFileSync(join(folder, 'dev-v1.1.jsonl'), '');
  t.throws(() => squadPaths(folder, ['train'], 1), {
    code: 'BAD_CORPUS',
    message: /several files that are called dev-v1\.1/,
  });
});

t.test('a file in place of a folder is what is needed', async (t) => {
  t.same(squadPaths(v1, ['train'], 1), { train: [v1], evaluations: [], tests: [] });
  t.same(squadPaths(v1, ['train', 'evaluations'], 1, { dev: v2 }), { train: [v1], evaluations: [v2], tests: [] });
  t.same(squadPaths(v1, ['evaluations'], 1), { train: [], evaluations: [v1], tests: [] });
  t.match(await failure(() => squadPaths('no/such', ['train'], 1)), /BAD_CORPUS: There is no file or folder no\/such/);
});

t.test('splits are called as their files, tests need no answers', async (t) => {
  const folder = t.testdir({});
  copyFileSync(v1, join(folder, 'train.json'));
  copyFileSync(v1, join(folder, 'dev-small.json'));
  const test = json('made-up-v1.1.json');
  for (const { paragraphs } of test.data) for (const { qas } of paragraphs) for (const qa of qas) delete qa.answers;
  writeFileSync(join(folder, 'test.json'), JSON.stringify(test));
  const data = await readSquadFiles(folder, ['train', 'evaluations', 'tests'], 1);
  t.equal(data.train.length, 7);
  t.same(
    [...data.evaluations, ...data.tests].map(({ name, examples }) => [name, examples.length]),
    [
      ['dev-small', 7],
      ['test', 7],
    ],
  );
  t.same(data.notes, []);
  const less = await readSquadFiles(folder, ['evaluations'], 1);
  t.same([less.train, less.tests], [[], []], 'what is not needed is not read');
  rmSync(join(folder, 'dev-small.json'));
  t.same((await readSquadFiles(folder, ['evaluations', 'tests'], 1)).evaluations, [], 'tests alone can be predicted');
});

t.test('what is needed and missing is named, with the option that gives it', async (t) => {
  const folder = t.testdir({ 'other.json': '{}' });
  t.match(
    await failure(() => readSquadFiles(folder, ['train'], 1)),
    /holds no train\*\.json or train\*\.json\.gz for SQuAD v1\.1\. Name a file with --train\./,
  );
  t.match(await failure(() => readSquadFiles(v1, ['train', 'evaluations'], 2)), /holds no dev\*\.json.*--dev/);
});

t.test('v1.1 refuses questions without an answer', async (t) => {
  t.match(await failure(() => readSquadFiles(v2, ['train'], 1)), /question river-2 has no answer.*task squad2/);
  t.equal((await readSquadFiles(v2, ['train'], 2)).train.length, 5);
});

t.test('what is left out is noted, and a few questions without an answer do not refuse a v1.1 file', async (t) => {
  const file = json('made-up-v1.1.json');
  const [first, second, third] = file.data[0].paragraphs[0].qas;
  first.answers = [];
  delete second.question;
  third.id = 17;
  const path = join(t.testdir({ 'x.json': JSON.stringify(file) }), 'x.json');
  const { train, notes } = await readSquadFiles(path, ['train'], 1);
  t.equal(train.length, 5);
  t.match(notes, [
    /x\.json: skipped: 1 questions without a text \(the first is data\[0\]\.paragraphs\[0\]\.qas\[1\]\)/,
    /x\.json: skipped: 1 questions without an answer \(the first is made-1\)/,
  ]);
});

t.test("Hugging Face's names: JSON lines, and validation", async (t) => {
  const names = ['train.jsonl', 'train.ndjson.zst', 'validation.jsonl', 'validation-2.json.gz', 'test.JSONL'];
  const folder = t.testdir(Object.fromEntries(names.map((name) => [name, ''])));
  t.same(squadPaths(folder, ['train'], 1), {
    train: [join(folder, 'train.jsonl'), join(folder, 'train.ndjson.zst')],
    evaluations: [join(folder, 'validation-2.json.gz'), join(folder, 'validation.jsonl')],
    tests: [join(folder, 'test.JSONL')],
  });
});

t.test('misplaced answers are not trained on, and counted', async (t) => {
  const file = json('made-up-v1.1.json');
  file.data[0].paragraphs[0].qas[1].answers[0].answer_start += 1;
  file.data[1].paragraphs[0].qas[0].answers[0].answer_start = 99999;
  const path = join(t.testdir({ 'x.json': JSON.stringify(file) }), 'x.json');
  const { train, notes } = await readSquadFiles(path, ['train'], 1);
  t.equal(train.length, 5);
  t.match(notes, [/x\.json: 2 of 7 questions are not trained on.*data\[0\]\.paragraphs\[0\]\.qas\[1\]\.answers\[0\]/]);
  t.equal((await readSquadFiles(path, ['evaluations'], 1)).evaluations[0]!.examples.length, 7, 'they are scored');
});

t.test('a split without labels is refused, whichever way its answers are missing', async (t) => {
  const unlabelled = (change: (qa: any) => void) => {
    const file = json('made-up-v2.0.json');
    for (const { paragraphs } of file.data) for (const { qas } of paragraphs) for (const qa of qas) change(qa);
    return file;
  };
  const missing = unlabelled((qa) => {
    delete qa.answers;
    delete qa.is_impossible;
  });
  const empty = unlabelled((qa) => {
    qa.answers = [];
    qa.is_impossible = false;
  });
  const flat = missing.data.flatMap(({ paragraphs }: any) =>
    paragraphs.flatMap(({ context, qas }: any) =>
      qas.map((qa: any) => ({ ...qa, context, answers: { text: [], answer_start: [] } })),
    ),
  );
  for (const file of [missing, empty, flat]) {
    const folder = t.testdir({ 'train.json': JSON.stringify(file), 'dev.json': JSON.stringify(file) });
    for (const version of [1, 2] as const) {
      t.match(
        await failure(() => readSquadFiles(folder, ['train'], version)),
        /train\.json, the train split, has no labels: none of its 5 questions .*Training requires .*--train.*test\*\.json/,
      );
      t.match(
        await failure(() => readSquadFiles(folder, ['evaluations'], version)),
        /dev\.json, the dev split, has no labels.*Evaluation requires a file with answers: name it with --dev/,
      );
    }
    renameSync(join(folder, 'dev.json'), join(folder, 'test.json'));
    const { evaluations, tests } = await readSquadFiles(folder, ['evaluations', 'tests'], 2);
    t.same([evaluations, tests[0]?.examples.length], [[], 5], 'as a test file it can be predicted');
    t.match(
      await failure(() => readSquadFiles(folder, ['evaluations'], 2)),
      /holds no dev\*\.json.* To predict its test files alone, give evaluate --out\./,
    );
  }
  const impossible = unlabelled((qa) => {
    qa.answers = [];
    qa.is_impossible = true;
  });
  const path = join(t.testdir({ 'x.json': JSON.stringify(impossible) }), 'x.json');
  t.equal((await readSquadFiles(path, ['evaluations'], 2)).evaluations[0]?.examples.length, 5, 'a mark is a label');
});

t.test('v2.0: a few questions without an answer or a mark are noted', async (t) => {
  const file = json('made-up-v2.0.json');
  const { qas } = file.data[0].paragraphs[0];
  qas[0].answers = [];
  const path = join(t.testdir({ 'x.json': JSON.stringify(file) }), 'x.json');
  const { evaluations, notes } = await readSquadFiles(path, ['evaluations'], 2);
  t.equal(evaluations[0]?.examples.length, 5);
  t.match(notes, [/x\.json: 1 questions have no answer and are not marked as impossible \(the first is river-1\)/]);
});
