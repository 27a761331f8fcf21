/** Training on a stream: the same for any number of workers, bounded counts with their error told, progress, cancelling. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { trainTokenizerOnText } from '../../../lib/data/tokenizer/train-on-text.js';
import { countWords, trainTokenizer } from '../../../lib/data/tokenizer/train-tokenizer.js';
import { addWordCounts, WordCounts } from '../../../lib/data/tokenizer/word-counts.js';
import { failure } from '../support.js';

const book = gunzipSync(
  readFileSync(new URL('../../../data/sample/conrad-typhoon.txt.gz', import.meta.url)),
).toString();
const paragraphs = book.split('\n\n');

/** The book `times` over, so that several works are made of it. */
function* often(times: number): Generator<string> {
  for (let i = 0; i < times; i++) yield* paragraphs;
}

for (const [kind, threads] of [
  ['bpe', [0, 2]],
  ['wordpiece', [0, 1]],
] as const) {
  t.test(`${kind}: a stream gives what its words give, for any number of workers`, async (t) => {
    const counts = new Map<string, number>();
    for (const paragraph of paragraphs) {
      for (const [word, count] of countWords(kind, paragraph)) counts.set(word, (counts.get(word) ?? 0) + 8 * count);
    }
    const expected = await trainTokenizer(kind, counts, { vocabSize: 1500 });
    for (const workers of threads) {
      const progress: number[] = [];
      const trained = await trainTokenizerOnText(often(8), {
        kind,
        vocabSize: 1500,
        workers,
        onProgress: ({ phase, done }) => phase === 'count words' && progress.push(done),
      });
      t.strictSame(trained.definition, expected, `${workers} workers`);
      t.equal(trained.undercount, 0);
      t.equal(trained.distinctWords, counts.size);
      t.equal(
        trained.words,
        [...counts.values()].reduce((a, b) => a + b, 0),
      );
      t.equal(trained.textLength, 8 * paragraphs.reduce((sum, paragraph) => sum + paragraph.length, 0));
      t.ok(progress.length > 1, 'more than one work');
      t.equal(progress.at(-1), trained.textLength, 'progress ends at the whole text');
    }
  });
}

t.test('too many words: the total stays bounded, and no count is off by more than it says', async (t) => {
  const exact = new Map<string, number>();
  const counts = new WordCounts(1000);
  for (let piece = 0; piece < 40; piece++) {
    // A few words everywhere, and many that are seen a few times and in few pieces.
    const words = new Map<string, number>();
    for (let i = 0; i < 300; i++) {
      const word = i < 100 ? `common${i}` : `rare${(piece * 100 + i * 7) % 2311}`;
      words.set(word, (words.get(word) ?? 0) + 1 + (i % 3));
    }
    for (const [word, count] of words) exact.set(word, (exact.get(word) ?? 0) + count);
    addWordCounts(counts, [...words.keys()], [...words.values()]);
    t.ok(counts.size <= 1000);
  }
  t.ok(exact.size > 1000, 'there are more words than there is room for');
  t.ok(counts.undercount > 0);
  for (const [word, count] of exact) {
    const kept = counts.get(word) ?? 0;
    if (kept > count || kept < count - counts.undercount) t.fail(`${word}: ${kept} of ${count}`);
  }
  for (let i = 0; i < 100; i++) t.equal(counts.get(`common${i}`), exact.get(`common${i}`), 'frequent words stay exact');
});

t.test('a bounded training says by how much its counts may be off, the same for any number of workers', async (t) => {
  const options = { kind: 'wordpiece', vocabSize: 800, maxDistinctWords: 3000 } as const;
  const alone = await trainTokenizerOnText(often(8), options);
  t.ok(alone.undercount > 0);
  t.ok(alone.distinctWords <= 3000);
  t.strictSame(await trainTokenizerOnText(often(8), { ...options, workers: 1 }), alone);
});

t.test('training is cancelled while it counts and while it merges', async (t) => {
  for (const phase of ['count words', 'train tokenizer'] as const) {
    const controller = new AbortController();
    const said = await failure(() =>
      trainTokenizerOnText(often(4), {
        kind: 'bpe',
        vocabSize: 50_000,
        minCount: 1,
        workers: phase === 'count words' ? 1 : 0,
        signal: controller.signal,
        onProgress: (progress) => progress.phase === phase && controller.abort(),
      }),
    );
    t.match(said, /^ABORT_ERR: Training the tokenizer was cancelled/, phase);
  }
});

t.test('what cannot be trained says why', async (t) => {
  const options = { kind: 'bpe', vocabSize: 300 } as const;
  t.match(await failure(() => trainTokenizerOnText([], options)), /^BAD_CORPUS: No word to train/);
  t.match(await failure(() => trainTokenizerOnText([], { ...options, workers: -1 })), /^BAD_ARGUMENT: workers must be/);
  t.match(
    await failure(() => trainTokenizerOnText([], { ...options, maxDistinctWords: 10 })),
    /^BAD_ARGUMENT: maxDistinctWords must be .* at least 1000; got 10/,
  );
  async function* broken() {
    yield 'some text';
    throw new Error('the source broke');
  }
  t.match(await failure(() => trainTokenizerOnText(broken(), options)), /the source broke/);
});
