/** Reading SQuAD's JSON: offsets in code points, gzip, and errors that name the place. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { codePointOffsets, parseSquad, readSquad } from '../../../lib/eval/squad/dataset.js';
import { failure, fixture, shared } from '../../data/support.js';
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

t.test('packed files are read whatever they are called, a byte order mark is dropped', async (t) => {
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

t.test('a wrong layout is named with its place', async (t) => {
  const place = 'x.json: data[0].paragraphs[0].qas[0]';
  const cases: [(qa: any, file: any) => void, string][] = [
    [(qa) => delete qa.id, `${place}.id: is missing, expected string`],
    [(qa) => delete qa.question, `${place}.question: is missing, expected string`],
    [(qa) => (qa.answers[0].answer_start = '2'), `${place}.answers[0].answer_start: Invalid input: expected number`],
    [(qa) => (qa.answers[0].answer_start = -1), `${place}.answers[0].answer_start: Too small`],
    [(qa) => (qa.answers[0].answer_start = 1.5), `${place}.answers[0].answer_start: Invalid input: expected int`],
    [(qa) => delete qa.answers[0].text, `${place}.answers[0].text: is missing`],
    [(qa) => (qa.is_impossible = true), `${place}: is_impossible is true, yet there are answers`],
    [(qa) => (qa.is_impossible = 'no'), `${place}.is_impossible: Invalid input: expected boolean`],
    [(_, file) => delete file.data[0].paragraphs[0].context, 'x.json: data[0].paragraphs[0].context: is missing'],
    [(_, file) => (file.data[0].paragraphs = {}), 'x.json: data[0].paragraphs: Invalid input: expected array'],
    [(_, file) => delete file.data, 'x.json is not in SQuAD\'s layout: expected an object with "data"'],
    [(_, file) => (file.data = []), 'x.json holds no questions'],
    [
      (qa, file) => file.data[0].paragraphs.push({ context: '', qas: [qa] }),
      'x.json: data[0].paragraphs[1].qas[0].id: "q1" is also the id of data[0].paragraphs[0].qas[0]',
    ],
  ];
  for (const [change, expected] of cases) {
    const message = await parsing(change);
    t.ok(message.startsWith(`BAD_CORPUS: ${expected}`), `${expected} … got ${message}`);
  }
  for (const value of [null, 7, [], 'text']) {
    t.match(await failure(() => parseSquad(value, 'x.json')), /x\.json is not in SQuAD's layout/);
  }
  const many = await parsing((qa) => {
    delete qa.id;
    delete qa.question;
  });
  t.match(many, /\(and 1 more of the kind\)/);
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
  t.match(await reading('cut.json.gz'), /cut\.json\.gz is damaged gzip data/);
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
