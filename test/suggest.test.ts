import t from 'tap';
import { editDistance, nearest } from '../lib/suggest.js';

t.test('edit distance counts insertions, deletions, substitutions and swaps', async (t) => {
  t.equal(editDistance('', 'abc'), 3);
  t.equal(editDistance('kitten', 'sitting'), 3);
  t.equal(editDistance('steps', 'stpes'), 1);
  t.equal(editDistance('same', 'same'), 0);
});

t.test('the nearest word is suggested only when it is near', async (t) => {
  t.equal(nearest('evaluateevry', ['evaluationBatches', 'evaluateEvery']), 'evaluateEvery');
  t.equal(nearest('gpt-mnii', ['gpt-mini', 'bert-mini']), 'gpt-mini');
  t.equal(nearest('banana', ['steps', 'tokens']), undefined);
});
