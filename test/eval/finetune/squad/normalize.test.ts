/** The rules of SQuAD's normalisation, and agreement with an independent implementation in Python. */
import t from 'tap';
import { answerWords, exactMatch, f1, normalizeAnswer } from '../../../../lib/eval/finetune/squad/normalize.js';
import { json } from './support.js';

t.test('case, punctuation, articles and blanks do not count', async (t) => {
  t.equal(normalizeAnswer('  The "Panthers\'"  defense. '), 'panthers defense');
  t.equal(normalizeAnswer('a An THE'), '');
  t.equal(normalizeAnswer('theatre, another atom'), 'theatre another atom', 'articles are whole words');
  t.equal(normalizeAnswer('the-cat'), 'thecat', 'punctuation goes first and joins');
  t.equal(normalizeAnswer('“it’s”'), '“it’s”', 'only ASCII punctuation goes');
});

t.test('letters and numbers of any script are part of a word', async (t) => {
  t.same(answerWords('aé éa a²'), ['aé', 'éa', 'a²']);
  t.same(answerWords('a\u0301 x'), ['\u0301', 'x'], 'a combining mark is none');
});

t.test('white space is what Python splits at', async (t) => {
  t.same(answerWords('x\u001cy\u0085z\u00a0q\u3000r'), ['x', 'y', 'z', 'q', 'r']);
  t.same(answerWords('x\ufeffy'), ['x\ufeffy']);
});

t.test('F1 counts each word as often as it stands in both', async (t) => {
  t.equal(f1('one two two', 'two two two one'), (2 * 1 * 0.75) / 1.75);
  t.equal(f1('one two', 'three'), 0);
  t.equal(f1('the', ''), 1, 'nothing and nothing');
  t.equal(f1('the', '', { emptyMatches: false }), 0, 'as v1.1 has it');
  t.equal(f1('word', ''), 0);
  t.equal(exactMatch('The cat!', 'cat'), 1);
  t.equal(exactMatch('cats', 'cat'), 0);
});

t.test('the same as the reference on hand-made and on altered real answers', async (t) => {
  const { pairs } = json('scores.json');
  t.equal(pairs.length, 442);
  const best = (scores: number[]): number => Math.max(...scores);
  for (const { prediction, answers, exact, f1v1, f1v2, normal } of pairs) {
    const name = JSON.stringify([prediction, answers]);
    t.equal(normalizeAnswer(prediction), normal, name);
    t.equal(best(answers.map((gold: string) => exactMatch(prediction, gold))), exact, name);
    const plain = best(answers.map((gold: string) => f1(prediction, gold, { emptyMatches: false })));
    t.ok(Math.abs(plain - f1v1) < 1e-12, name);
    const counted = answers.filter((gold: string) => normalizeAnswer(gold) !== '');
    const second = best((counted.length > 0 ? counted : ['']).map((gold: string) => f1(prediction, gold)));
    t.ok(Math.abs(second - f1v2) < 1e-12, name);
  }
});
