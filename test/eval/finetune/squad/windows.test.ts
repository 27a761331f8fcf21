/** Windows as BERT's run_squad cuts them, and spans between characters and tokens. */
import t from 'tap';
import {
  encodeQuestion,
  maxContext,
  spanText,
  tokenSpan,
  type WindowOptions,
  windowsOf,
  writeWindow,
} from '../../../../lib/eval/finetune/squad/windows.js';
import { failure } from '../../../data/support.js';
import { madeUp, windowGoldens } from './support.js';

/** One token a word, ids counted up from 10 at the first word of every text. */
const words = (text: string) => {
  const found = [...text.matchAll(/\S+/g)];
  return {
    ids: found.map((_, i) => 10 + i),
    offsets: found.flatMap((match) => [match.index, match.index + match[0].length]),
  };
};
const options = (change: Partial<WindowOptions> = {}): WindowOptions => ({
  encode: words,
  cls: 1,
  sep: 2,
  maxLength: 10,
  stride: 3,
  maxQuestion: 8,
  ...change,
});
const question = (context: string, answer?: string, text = 'Who is it') => ({
  id: 'q',
  title: '',
  question: text,
  context,
  answers: answer === undefined ? [] : [{ text: answer, start: context.indexOf(answer) }],
  impossible: answer === undefined,
});
const row = (window: Parameters<typeof writeWindow>[0], length = 10) => {
  const batch = { tokens: new Int32Array(length), types: new Int32Array(length), mask: new Int32Array(length) };
  writeWindow(window, options(), batch, { row: 0, length });
  return { tokens: [...batch.tokens], types: [...batch.types], mask: [...batch.mask] };
};

t.test('a short context is one window', async (t) => {
  const [window, ...rest] = windowsOf(encodeQuestion(question('a b c', 'b c'), options()), options());
  t.same(rest, []);
  t.same(row(window!), {
    tokens: [1, 10, 11, 12, 2, 10, 11, 12, 2, 0],
    types: [0, 0, 0, 0, 0, 1, 1, 1, 1, 0],
    mask: [1, 1, 1, 1, 1, 1, 1, 1, 1, 0],
  });
  t.same(window!.label, { start: 6, end: 7 });
  t.equal(window!.length, 9);
});

t.test('a long context is cut at every stride, and the answer is labelled where it is whole', async (t) => {
  const source = encodeQuestion(question('a b c d e f g h', 'd e'), options());
  const windows = windowsOf(source, options());
  t.same(
    windows.map(({ contextStart, contextEnd, label }) => [contextStart, contextEnd, label.start, label.end]),
    [
      [0, 4, 0, 0], // d is the last token, e is missing
      [3, 7, 5, 6],
      [6, 8, 0, 0],
    ],
  );
});

t.test('a stride beyond what a window holds leaves no gap', async (t) => {
  const source = encodeQuestion(question('a b c d e f g h'), options());
  const windows = windowsOf(source, options({ stride: 100 }));
  t.same(
    windows.map(({ contextStart, contextEnd }) => [contextStart, contextEnd]),
    [
      [0, 4],
      [4, 8],
    ],
  );
});

t.test('an empty context is one window without context', async (t) => {
  const windows = windowsOf(encodeQuestion(question(''), options()), options());
  t.equal(windows.length, 1);
  t.same(row(windows[0]!).tokens, [1, 10, 11, 12, 2, 2, 0, 0, 0, 0]);
  t.same(maxContext(windows), [[]]);
});

t.test('a long question is cut, and one that leaves no room is an error', async (t) => {
  const long = question('a b c', 'a', 'one two three four five six seven eight');
  const cut = options({ maxQuestion: 3 });
  t.equal(windowsOf(encodeQuestion(long, cut), cut)[0]!.firstContext, 5);
  t.match(
    await failure(() => windowsOf(encodeQuestion(long, options()), options())),
    /BAD_CONFIG: Question q has 8 tokens, and a window of 10 has no room/,
  );
});

t.test('impossible questions and misplaced answers have no span', async (t) => {
  t.equal(encodeQuestion(question('a b'), options()).answer, undefined);
  const misplaced = { ...question('a b', 'b'), answers: [{ text: 'b', start: undefined }] };
  t.equal(encodeQuestion(misplaced, options()).answer, undefined);
  t.same(encodeQuestion(question('a b', 'b'), options()).answer, { start: 1, end: 1 });
});

t.test('a span is every token that overlaps the characters', async (t) => {
  const { offsets } = words('abc def  ghi'); // 0-3, 4-7, 9-12
  t.same(tokenSpan(offsets, 4, 7), { start: 1, end: 1 });
  t.same(tokenSpan(offsets, 5, 6), { start: 1, end: 1 }, 'inside a token');
  t.same(tokenSpan(offsets, 2, 10), { start: 0, end: 2 }, 'edges inside tokens');
  t.same(tokenSpan(offsets, 3, 9), { start: 1, end: 1 }, 'blanks at the edges');
  t.equal(tokenSpan(offsets, 7, 9), undefined, 'blanks alone');
  t.equal(tokenSpan(offsets, 50, 60), undefined);
});

t.test('a span gives the characters of the context as they stand there', async (t) => {
  const source = encodeQuestion(question('Ab  c\n\u{1f30a}d  e'), options());
  t.equal(spanText(source, { start: 0, end: 1 }), 'Ab  c');
  t.equal(spanText(source, { start: 1, end: 2 }), 'c\n\u{1f30a}d');
});

t.test('of several windows the one with the most context on both sides counts', async (t) => {
  // Windows of 4 tokens at 0, 2, 4: token 2 has 1 on its right in the first and 0 on its left in the second.
  const source = encodeQuestion(question('a b c d e f g h'), options());
  const best = maxContext(windowsOf(source, options({ stride: 2 })));
  t.same(best, [
    [true, true, true, false],
    [false, true, true, false],
    [false, true, true, true],
  ]);
  for (let token = 0; token < 8; token++) {
    const winners = best.filter((flags, w) => flags[token - 2 * w] === true);
    t.equal(winners.length, 1, `token ${token} has one best window`);
  }
});

t.test('ids, labels and best windows are those of the reference', async (t) => {
  const { cases, encode } = windowGoldens();
  const questions = new Map(
    [...madeUp('v1.1').questions, ...madeUp('v2.0').questions].map((question) => [question.id, question]),
  );
  t.equal(cases.length, 36);
  for (const { id, settings, windows: expected } of cases) {
    const [maxLength, stride, maxQuestion] = settings;
    const chosen = { encode, cls: 101, sep: 102, maxLength, stride, maxQuestion };
    const windows = windowsOf(encodeQuestion(questions.get(id)!, chosen), chosen);
    const best = maxContext(windows);
    const found = windows.map((window, i) => {
      const batch = {
        tokens: new Int32Array(window.length),
        types: new Int32Array(window.length),
        mask: new Int32Array(window.length),
      };
      writeWindow(window, chosen, batch, { row: 0, length: window.length });
      return {
        ids: [...batch.tokens],
        start: window.contextStart,
        label: [window.label.start, window.label.end],
        best: best[i]!.map(Number).join(''),
      };
    });
    t.same(found, expected, `${id} with ${settings}`);
  }
});
