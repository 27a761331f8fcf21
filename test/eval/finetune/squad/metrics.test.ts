/** Scores of whole sets: arithmetic on small ones, the independent Python implementation on 150 questions. */
import t from 'tap';
import { officialScores, scoreV1, scoreV2 } from '../../../../lib/eval/finetune/squad/metrics.js';
import { failure } from '../../../data/support.js';
import { json } from './support.js';

t.test('v1.1: the best over the answers, in percent of the questions', async (t) => {
  const questions = [
    { id: 'a', answers: ['red fox', 'fox'] },
    { id: 'b', answers: ['one two three four'] },
    { id: 'c', answers: ['never asked'] },
  ];
  t.same(scoreV1(questions, { a: 'The Fox!', b: 'one two', other: 'x' }), {
    exact: 100 / 3,
    f1: (100 * (1 + 2 / 3)) / 3,
    total: 3,
    missing: ['c'],
  });
});

t.test('v1.1 knows no question without an answer', async (t) => {
  t.match(
    await failure(() => scoreV1([{ id: 'q7', answers: [] }], { q7: '' })),
    /BAD_ARGUMENT: Question q7 has no answer.*squad2/,
  );
  t.match(await failure(() => scoreV1([], {})), /no questions/);
});

t.test('v2.0: splits, and the empty answer for what cannot be answered', async (t) => {
  const questions = [
    { id: 'a', answers: ['fox'] },
    { id: 'b', answers: [] },
    { id: 'c', answers: [] },
    { id: 'd', answers: ['the'] },
  ];
  t.same(scoreV2(questions, { a: 'fox', b: '', c: 'wrong', d: '' }), {
    exact: 75,
    f1: 75,
    total: 4,
    missing: [],
    hasAnswer: { exact: 100, f1: 100, total: 2 },
    noAnswer: { exact: 50, f1: 50, total: 2 },
  });
  const one = scoreV2([{ id: 'a', answers: ['fox'] }], { a: 'fox' });
  t.notOk('noAnswer' in one, 'no split without questions');
});

t.test('v2.0: a threshold takes answers back, and the best one is found', async (t) => {
  const questions = [
    { id: 'a', answers: ['fox'] },
    { id: 'b', answers: [] },
    { id: 'c', answers: ['hen'] },
    { id: 'd', answers: [] },
  ];
  const predictions = { a: 'fox', b: 'x', c: 'hen', d: 'y' };
  const nullOdds = { a: -3, b: 2, c: 1, d: 5 };
  const scores = scoreV2(questions, predictions, { nullOdds, threshold: 0 });
  t.equal(scores.exact, 75, 'c lost its answer');
  t.same(scores.best, { bestExact: 100, bestExactThreshold: 1, bestF1: 100, bestF1Threshold: 1 });
  t.equal(scoreV2(questions, predictions, { nullOdds, threshold: 1 }).exact, 100);
  t.equal(scoreV2(questions, predictions, { nullOdds }).exact, 50, 'no threshold by default');
  t.match(
    await failure(() => scoreV2(questions, predictions, { nullOdds: { a: 1 } })),
    /BAD_ARGUMENT: Question b has no null odds/,
  );
});

t.test('scores by the names of the official scripts', async (t) => {
  const scores = {
    exact: 1,
    f1: 2,
    total: 3,
    missing: [],
    hasAnswer: { exact: 4, f1: 5, total: 6 },
    noAnswer: { exact: 7, f1: 8, total: 9 },
    best: { bestExact: 10, bestExactThreshold: 11, bestF1: 12, bestF1Threshold: 13 },
  };
  t.same(officialScores(scores), {
    exact: 1,
    f1: 2,
    total: 3,
    HasAns_exact: 4,
    HasAns_f1: 5,
    HasAns_total: 6,
    NoAns_exact: 7,
    NoAns_f1: 8,
    NoAns_total: 9,
    best_exact: 10,
    best_exact_thresh: 11,
    best_f1: 12,
    best_f1_thresh: 13,
  });
});

t.test('ids that every object has as a key are ids like others', async (t) => {
  t.same(scoreV1([{ id: 'constructor', answers: ['x'] }], {}).missing, ['constructor']);
});

t.test('v2.0: the same as the reference, thresholds too', async (t) => {
  const { questions, predictions, odds, scores } = json('scores.json').set;
  t.equal(questions.length, 150);
  for (const { threshold, expected } of scores) {
    const found: any = scoreV2(questions, predictions, { nullOdds: odds, threshold });
    const close = (a: any, b: any, path: string): void => {
      if (typeof b === 'number') t.ok(Math.abs(a - b) < 1e-9, `${path}: ${a} and ${b}`);
      else for (const key of Object.keys(b)) close(a[key], b[key], `${path}.${key}`);
    };
    close(found, expected, `threshold ${threshold}`);
  }
});
