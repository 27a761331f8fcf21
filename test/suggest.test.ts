import t from 'tap';
import { taskByName } from '../lib/eval/index.js';
import { preset } from '../lib/models/index.js';
import { editDistance, nearest, unknownName } from '../lib/suggest.js';

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

t.test('an unknown name comes with the nearest known one, if any is near, and with all known ones', async (t) => {
  t.equal(unknownName('jsnol', ['text', 'jsonl']), '"jsnol"; did you mean "jsonl"? Known: text, jsonl.');
  t.equal(unknownName('banana', ['text', 'jsonl']), '"banana". Known: text, jsonl.');
  t.throws(() => taskByName('ssst2'), /^There is no task "ssst2"; did you mean "sst2"\? Known: /);
  t.throws(() => preset('gpt-bse'), /^There is no model preset "gpt-bse"; did you mean "gpt-base"\? Known: /);
});
