/** Reading SQuAD's JSON: offsets in code points, gzip, and errors that name the place. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { codePointOffsets, parseSquad, readSquad } from '../../../../lib/eval/finetune/squad/dataset.js';
import { failure, fixture, shared } from '../../../data/support.js';
import { json, madeUp } from './support.js';

const small = (change: (qa: any, file: any) => void = () => undefined): any => {
  const qa: any = { id: 'q1', question: 'Which?', answers: [{ text: 'cd', answer_start: 2 }] };
  const file: any = { version: '1.1', data: [{ title: 'T', paragraphs: [{ context: 'abcdef', qas: [qa] }] }] };
  change(qa, file);
  return file;
};
const parsing = (change: (qa: any, file: any) => void): Promise<string> =>
  failure(() => parseSquad(small(change), 'x.json'));

t.test('a v1.1 file, with starts in UTF-16 units', async (t) => {
  const { version, articles, paragraphs, questions, misplaced } = await readSquad(fixture('squad/made-up-v1.1.json'));
  t.same([version, articles, paragraphs, questions.length, misplaced], ['1.1', 2, 2, 7, []]);
  t.same(
    questions.map(({ id }) => id),
    [1, 2, 3, 4, 5, 6, 7].map((n) => `made-${n}`),
  );
  for (const { context, answers, impossible } of questions) {
    t.notOk(impossible);
    for (const { text, start } of answers) t.equal(context.slice(start, start! + text.length), text);
  }
  const { context, answers } = questions[4]!;
  const stored = json('made-up-v1.1.json').data[0].paragraphs[0].qas[4].answers[0].answer_start;
  t.ok(context.indexOf('\u{1f30a}') < stored, 'an emoji stands before this answer');
  t.equal(answers[0]!.start, stored + 1, 'it counts as one code point and two units');
});

t.test('a v2.0 file knows questions without an answer', async (t) => {
  const { version, questions } = madeUp('v2.0');
  t.equal(version, 'v2.0');
  t.same(
    questions.filter(({ impossible }) => impossible).map(({ id, answers }) => [id, answers]),
    [
      ['river-2', []],
      ['garden-2', []],
    ],
  );
});

t.test('packed files are read under any name, a byte order mark is dropped', async (t) => {
  const bytes = readFileSync(fixture('squad/made-up-v2.0.json'));
  const folder = t.testdir({});
  for (const [name, content] of [
    ['a.json.gz', gzipSync(bytes)],
    ['b.json', gzipSync(bytes)],
    ['c.json', Buffer.concat([Buffer.from('\ufeff'), bytes])],
  ] as const) {
    writeFileSync(join(folder, name), content);
    t.same(await readSquad(join(folder, name)), madeUp('v2.0'), name);
  }
});

t.test('code points to UTF-16 units', async (t) => {
  const plain = codePointOffsets('abc');
  t.same([plain(0), plain(3), plain(4)], [0, 3, undefined]);
  const pairs = codePointOffsets('a\u{1f600}b\ud800c');
  t.same([0, 1, 2, 3, 4, 5, 6].map(pairs), [0, 1, 3, 4, 5, 6, undefined]);
});

t.test('an answer that does not stand where the file says keeps its text and has no start', async (t) => {
  for (const start of [1, 5, 6, 100]) {
    const { questions, misplaced } = parseSquad(
      small((qa) => {
        qa.answers[0].answer_start = start;
      }),
      'x.json',
    );
    t.same(questions[0]!.answers, [{ text: 'cd', start: undefined }]);
    t.same(misplaced, ['data[0].paragraphs[0].qas[0].answers[0]']);
  }
});

const second = { id: 'q2', question: 'Where?', answers: [{ text: 'ab', answer_start: 0 }] };

t.test('what says only one thing is read', async (t) => {
  const read = (change: (qa: any, file: any) => void) => parseSquad(small(change), 'x.json');
  const cases: [string, (qa: any, file: any) => void][] = [
    ['a numeric id', (qa) => (qa.id = 1)],
    ['a numeric version', (_, file) => (file.version = 1.1)],
    ['no version', (_, file) => (file.version = null)],
    ['no title', (_, file) => (file.data[0].title = null)],
    ['a numeric title', (_, file) => (file.data[0].title = 1984)],
    ['a start as text', (qa) => (qa.answers[0].answer_start = '2')],
    ['is_impossible null', (qa) => (qa.is_impossible = null)],
    ['is_impossible 0', (qa) => (qa.is_impossible = 0)],
    ['is_impossible unclear, and an answer', (qa) => (qa.is_impossible = 'no')],
    ['answers as lists', (qa) => (qa.answers = { text: ['cd'], answer_start: [2] })],
    ['a list of articles', () => undefined],
  ];
  for (const [what, change] of cases) {
    const { questions, skipped, misplaced } = read(change);
    t.same([questions[0]!.answers, skipped, misplaced], [[{ text: 'cd', start: 2 }], [], []], what);
    t.notOk(questions[0]!.impossible, what);
  }
  t.equal(read((qa) => (qa.id = 7)).questions[0]!.id, '7');
  t.equal(read((_, file) => (file.version = 2)).version, '2');
  t.equal(parseSquad(small().data, 'x.json').questions.length, 1, 'the list alone');
  for (const start of [-1, 1.5, null, undefined, 'two']) {
    const { questions, misplaced } = read((qa) => (qa.answers[0].answer_start = start));
    t.same(questions[0]!.answers, [{ text: 'cd', start: undefined }], `a start of ${start}`);
    t.same(misplaced, ['data[0].paragraphs[0].qas[0].answers[0]']);
  }
});

t.test('the rest is left out and counted, with its place', async (t) => {
  const place = 'data[0].paragraphs[0].qas[0]';
  const cases: [(qa: any, file: any) => void, string, string][] = [
    [(qa) => delete qa.id, 'questions without an id', place],
    [(qa) => (qa.id = ''), 'questions without an id', place],
    [(qa) => (qa.question = null), 'questions without a text', place],
    [(qa) => (qa.answers[0].text = null), 'questions with answers without a text', place],
    [(qa) => (qa.answers = 'cd'), 'questions with answers without a text', place],
    [(qa) => (qa.is_impossible = true), 'questions that are marked as impossible, yet have answers', place],
    [
      (qa) => Object.assign(qa, { is_impossible: 'no', answers: [] }),
      'questions whose is_impossible is neither true nor false',
      place,
    ],
    [(_, file) => (file.data[0].paragraphs[0].qas[0] = 5), 'questions that are not objects', place],
    [(_, file) => delete file.data[0].paragraphs[0].context, 'questions without a context', place],
    [(_, file) => (file.data[0].paragraphs[0].qas = {}), 'paragraphs without a list of questions', place.slice(0, -7)],
    [(_, file) => (file.data[0].paragraphs = {}), 'articles without a list of paragraphs', 'data[0]'],
  ];
  for (const [change, reason, first] of cases) {
    const file = small(change);
    file.data.push({ title: 'U', paragraphs: [{ context: 'abc', qas: [second] }] });
    const { questions, skipped } = parseSquad(file, 'x.json');
    t.same(
      questions.map(({ id }) => id),
      ['q2'],
      reason,
    );
    t.same(skipped, [{ reason, count: 1, first }]);
    const alone = await parsing(change);
    t.match(alone, /^BAD_CORPUS: x\.json holds no question that can be read: 1 /);
    t.ok(alone.includes(`1 ${reason} (the first is ${first})`), alone);
  }
  const { questions, skipped } = parseSquad(
    small((qa) => qa.answers.push({ answer_start: 0 })),
    'x.json',
  );
  t.same(questions[0]!.answers, [{ text: 'cd', start: 2 }], 'the answers that can be read stay');
  t.same(skipped, [{ reason: 'answers without a text', count: 1, first: place }]);
});

t.test('of questions with one id the first is read', async (t) => {
  const file = small((qa, all) => {
    const { paragraphs } = all.data[0];
    paragraphs[0].qas.push({ ...qa }, { ...qa, question: 'Another?' });
    paragraphs.push({ context: 'another', qas: [{ ...qa, answers: [] }] });
  });
  const { questions, skipped } = parseSquad(file, 'x.json');
  t.equal(questions.length, 1);
  t.same(skipped, [
    { reason: 'duplicate questions', count: 1, first: 'data[0].paragraphs[0].qas[1]' },
    { reason: 'questions with the id of another one', count: 2, first: 'data[0].paragraphs[0].qas[2]' },
  ]);
});

t.test("the flat layout of Hugging Face's datasets: a list, under data, and JSON lines, packed or not", async (t) => {
  const { data } = json('made-up-v2.0.json');
  const flat = data.flatMap(({ title, paragraphs }: any) =>
    paragraphs.flatMap(({ context, qas }: any) =>
      qas.map(({ id, question, answers }: any) => ({
        id,
        title,
        context,
        question,
        answers: {
          text: answers.map(({ text }: any) => text),
          answer_start: answers.map(({ answer_start }: any) => answer_start),
        },
      })),
    ),
  );
  const lines = flat.map((record: unknown) => `${JSON.stringify(record)}\n`).join('');
  const folder = t.testdir({
    'list.json': JSON.stringify(flat),
    'data.json': JSON.stringify({ version: 'v2.0', data: flat }),
    'lines.jsonl': lines,
    'lines.json': lines,
    'one.jsonl': JSON.stringify(flat[0]),
  });
  writeFileSync(join(folder, 'lines.json.gz'), gzipSync(lines));
  const { questions, paragraphs, articles } = madeUp('v2.0');
  for (const name of ['list.json', 'data.json', 'lines.jsonl', 'lines.json', 'lines.json.gz']) {
    const found = await readSquad(join(folder, name));
    t.same([found.questions, found.paragraphs, found.articles], [questions, paragraphs, articles], name);
    t.same(found.skipped, []);
  }
  t.same((await readSquad(join(folder, 'one.jsonl'))).questions, questions.slice(0, 1));
});

t.test('NaN where nothing is read is no matter', async (t) => {
  const text = JSON.stringify(small((qa) => (qa.score = 'NaN'))).replace('"NaN"', 'NaN');
  const folder = t.testdir({ 'a.json': text });
  t.equal((await readSquad(join(folder, 'a.json'))).questions.length, 1);
});

t.test('a file of another layout is refused', async (t) => {
  t.match(
    await parsing((_, file) => delete file.data),
    /x\.json is not in SQuAD's layout: expected an object with "data"/,
  );
  t.match(await parsing((_, file) => (file.data = [])), /x\.json holds no questions/);
  for (const value of [null, 7, [], 'text', [{ text: 'a' }], { data: {} }]) {
    t.match(await failure(() => parseSquad(value, 'x.json')), /x\.json is not in SQuAD's layout/);
  }
});

t.test('a file that is no JSON is named with line and column', async (t) => {
  const bytes = readFileSync(fixture('squad/made-up-v1.1.json'));
  const folder = t.testdir({
    'cut.json': bytes.subarray(0, 1000),
    'comma.json': '{\n "data": [],,\n}',
    'page.json': '<html></html>',
    'empty.json': ' \n',
    'latin.json': Buffer.from('{"data": "\xe9"}', 'latin1'),
    'cut.json.gz': gzipSync(bytes).subarray(0, 300),
  });
  const reading = (name: string): Promise<string> => failure(() => readSquad(join(folder, name)));
  t.match(await reading('cut.json'), /BAD_CORPUS: .*cut\.json is not JSON: .*cut off/);
  t.match(await reading('comma.json'), /comma\.json is not JSON: .*line 2, column 13/);
  t.match(await reading('page.json'), /page\.json is not JSON/);
  t.match(await reading('empty.json'), /empty\.json is empty/);
  t.match(await reading('latin.json'), /latin\.json is not UTF-8: byte 10 does/);
  t.match(await reading('cut.json.gz'), /cut\.json\.gz ends before its gzip data does/);
  t.match(await reading('none.json'), /none\.json cannot be read: There is no such file/);
  t.match(await failure(() => readSquad(folder)), /cannot be read: It is a folder/);
});

t.test('reading stops at a signal', async (t) => {
  const signal = AbortSignal.abort();
  t.match(await failure(() => readSquad(fixture('squad/made-up-v1.1.json'), { signal })), /^ABORT_ERR/);
});

for (const [name, counts] of [
  ['train-v1.1-first-articles', [11, 583, 3807, 0]],
  ['xquad-en-v1.1-part', [33, 165, 830, 0]],
  ['dev-v2.0-part', [11, 430, 4002, 2137]],
] as const) {
  const { path, skip } = shared(`squad/${name}.json.gz`);
  t.test(`${name}: articles, paragraphs, questions, those without an answer`, { skip }, async (t) => {
    const { articles, paragraphs, questions, misplaced } = await readSquad(path);
    const impossible = questions.filter((question) => question.impossible).length;
    t.same([articles, paragraphs, questions.length, impossible], counts);
    t.same(misplaced, []);
  });
}
