/** From logits to answers: hand-made cases, and the n-best lists of the independent implementation. */
import t from 'tap';
import { nBestOf, nullOddsOf, predictionsOf, predictQuestion } from '../../../../lib/eval/finetune/squad/predict.js';
import { encodeQuestion, windowsOf } from '../../../../lib/eval/finetune/squad/windows.js';
import { madeUp, windowGoldens } from './support.js';

const letters = (text: string) => ({
  ids: [...text].map((_, i) => 10 + i),
  offsets: [...text].flatMap((_, i) => [i, i + 1]),
});
const options = { encode: letters, cls: 1, sep: 2, maxLength: 20, stride: 8, maxQuestion: 1 };
const windowsFor = (context: string) =>
  windowsOf(
    encodeQuestion({ id: 'q', title: '', question: '?', context, answers: [], impossible: false }, options),
    options,
  );

/** Logits of -9 but for the given positions. */
const logits = (length: number, values: Record<number, number>): number[] =>
  Array.from({ length }, (_, i) => values[i] ?? -9);

t.test('the best span that is one', async (t) => {
  const windows = windowsFor('abcdef'); // positions 3 to 8
  const start = logits(10, { 1: 9, 7: 5, 4: 3 });
  const end = logits(10, { 0: 9, 3: 6, 5: 4 });
  const { text, candidates, nullOdds } = predictQuestion(windows, [{ start, end }], { nBest: 3 });
  t.equal(text, 'bc', 'neither the question nor [CLS], and no end before its start');
  t.same(
    candidates.map(({ text, startLogit, endLogit }) => [text, startLogit, endLogit]),
    [['bc', 3, 4]],
  );
  t.equal(candidates[0]!.probability, 1);
  t.equal(nullOdds, undefined);
});

t.test('an answer has at most maxAnswer tokens', async (t) => {
  const windows = windowsFor('abcdef');
  const start = logits(10, { 3: 5, 5: 1 });
  const end = logits(10, { 6: 5, 8: -1 });
  const best = (maxAnswer: number): string => predictQuestion(windows, [{ start, end }], { maxAnswer }).text;
  t.equal(best(4), 'abcd');
  t.equal(best(3), 'cd');
});

t.test('v2.0: the threshold decides between the best answer and none', async (t) => {
  const windows = windowsFor('abcdef');
  const start = logits(10, { 0: 4, 3: 3 });
  const end = logits(10, { 0: 2, 3: 2 });
  const predict = (nullThreshold: number) =>
    predictQuestion(windows, [{ start, end }], { canBeNull: true, nullThreshold, nBest: 2 });
  t.equal(predict(0).nullOdds, 1);
  t.equal(predict(0).text, '');
  t.equal(predict(0).bestAnswer, 'a');
  t.equal(predict(1).text, 'a', 'at the threshold the answer stays');
  t.same(
    predict(0).candidates.map(({ text }) => text),
    ['', 'a'],
  );
});

t.test('v2.0: no answer stands in the list even behind the best ones', async (t) => {
  const windows = windowsFor('abcdef');
  const start = logits(10, { 3: 3, 4: 2 });
  const end = logits(10, { 5: 2, 6: 1 });
  const { candidates } = predictQuestion(windows, [{ start, end }], { canBeNull: true, nBest: 2 });
  t.same(
    candidates.map(({ text }) => text),
    ['abc', 'abcd', ''],
  );
  const sum = candidates.reduce((total, { probability }) => total + probability, 0);
  t.ok(Math.abs(sum - 1) < 1e-12);
});

t.test('v2.0: one window with an answer is enough', async (t) => {
  const windows = windowsFor('abcdefghijklmnopqrstuvwx'); // rooms of 16 letters, from 0 and 8
  t.equal(windows.length, 2);
  const none = { start: logits(20, { 0: 9 }), end: logits(20, { 0: 9 }) };
  const some = { start: logits(20, { 0: 1, 15: 4 }), end: logits(20, { 0: 1, 16: 4 }) };
  const { nullOdds, text } = predictQuestion(windows, [none, some], { canBeNull: true, nBest: 4 });
  t.equal(text, 'uv');
  t.equal(nullOdds, 2 - 8);
});

t.test('a start counts only in the window that shows the most around it', async (t) => {
  const windows = windowsFor('abcdefghijklmnopqrstuvwx');
  // Letter 9 (j) is in both windows; the first shows more around it: 6 to its right, the second 1 to its left.
  const inSecond = { start: logits(20, { [3 + 9 - 8]: 9, 18: 1 }), end: logits(20, { [3 + 9 - 8]: 9, 18: 1 }) };
  const first = { start: logits(20, { 3: 2 }), end: logits(20, { 3: 2 }) };
  t.equal(predictQuestion(windows, [first, inSecond], { nBest: 2 }).text, 'a');
});

t.test('without any span the answer is empty', async (t) => {
  const windows = windowsFor('');
  const some = { start: [1, 2, 3, 4], end: [1, 2, 3, 4] };
  const plain = predictQuestion(windows, [some]);
  t.equal(plain.text, '');
  t.equal(plain.candidates.length, 1);
  const second = predictQuestion(windows, [some], { canBeNull: true });
  t.equal(second.text, '');
  t.equal(second.nullOdds, Number.MAX_VALUE);
  t.equal(second.candidates[0]!.probability, 1);
});

t.test('the three files', async (t) => {
  const windows = windowsFor('abcdef');
  const start = logits(10, { 0: 4, 3: 3 });
  const end = logits(10, { 0: 2, 3: 2 });
  const questions = [predictQuestion(windows, [{ start, end }], { canBeNull: true, nBest: 1 })];
  t.same(predictionsOf(questions), { q: '' });
  t.same(nullOddsOf(questions), { q: Number.MAX_VALUE }, 'with nBest 1 no answer is in the list');
  t.same(nBestOf(questions), { q: [{ text: '', probability: 1, start_logit: 4, end_logit: 2 }] });
});

t.test('lists, probabilities and null odds are those of the reference', async (t) => {
  const { cases, encode } = windowGoldens();
  const questions = new Map(
    [...madeUp('v1.1').questions, ...madeUp('v2.0').questions].map((question) => [question.id, question]),
  );
  let compared = 0;
  for (const { id, version, settings, logits, size, maxAnswer, expected } of cases) {
    if (!logits) continue;
    const [maxLength, stride, maxQuestion] = settings;
    const chosen = { encode, cls: 101, sep: 102, maxLength, stride, maxQuestion };
    const windows = windowsOf(encodeQuestion(questions.get(id)!, chosen), chosen);
    const found = predictQuestion(
      windows,
      logits.map(([start, end]) => ({ start, end })),
      { nBest: size, maxAnswer, canBeNull: version === 2 },
    );
    const list = found.candidates.map(({ text, startLogit, endLogit }) => [text, startLogit, endLogit]);
    const wanted = expected.nBest.map(([text, start, end]) => [text, start, end]);
    t.same(list, wanted, `${id} with ${settings}`);
    found.candidates.forEach(({ probability }, i) => {
      t.ok(Math.abs(probability - expected.nBest[i]![3]) < 1e-9);
    });
    t.equal(found.bestAnswer, expected.bestAnswer);
    if (expected.nullOdds !== undefined) t.equal(found.nullOdds, expected.nullOdds);
    compared++;
  }
  t.equal(compared, 26);
});
