/** A tokenizer is trained on words of any length in time that follows their length, and can be stopped meanwhile. */
import t from 'tap';
import { trainTokenizer } from '../../../lib/data/index.js';
import { longestTrainedWord } from '../../../lib/data/tokenizer/train-tokenizer.js';
import { failure } from '../support.js';

// Quadratic merging would take hours here and end by the suite's own time limit.
t.test('a word of two million letters', async (t) => {
  let seed = 1;
  const letter = (): string => {
    seed = (seed * 48271) % 2147483647; // Lehmer's generator
    return 'acgt'[(seed >> 8) & 3]!;
  };
  const word = Array.from({ length: 2_000_000 }, letter).join('');
  for (const kind of ['bpe', 'wordpiece'] as const) {
    const { model } = await trainTokenizer(kind, new Map([[word, 1]]), { vocabSize: 300 });
    t.equal(Object.keys(model.vocab!).length, 300, kind);
  }
});

t.test('a long word counts as the words it is cut into, and others count whole', async (t) => {
  const part = `${'ab'.repeat(longestTrainedWord / 2 - 1)}cd`;
  const whole = new Map([
    [part + part, 3],
    ['abba', 2],
  ]);
  const cut = new Map([
    [part, 6],
    ['abba', 2],
  ]);
  const limits = { vocabSize: 280 };
  t.strictSame(await trainTokenizer('bpe', whole, limits), await trainTokenizer('bpe', cut, limits));
  const pairs = new Map([['\u{1f600}'.repeat(longestTrainedWord), 1]]);
  t.ok(await trainTokenizer('bpe', pairs, { vocabSize: 270 }), 'no character is cut in two');
});

t.test('others can run before the first merge, and end the training there', async (t) => {
  const counts = new Map(Array.from({ length: 20_000 }, (_, i) => [`word${i}`, 2]));
  const said = await failure(() =>
    trainTokenizer('wordpiece', counts, {
      vocabSize: 500,
      onMerge: async (tokens) => {
        if (tokens === 0) throw new Error('stopped before a token was there');
      },
    }),
  );
  t.match(said, /stopped before a token was there/);
});
