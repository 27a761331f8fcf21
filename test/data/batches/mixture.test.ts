/** Mixtures: shares that hold, batches that follow from (seed, step), sources that begin again by themselves. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  causalBatch,
  heldOutCausalBatches,
  heldOutMlmBatches,
  mlmBatch,
  mlmCapacity,
  noLabel,
  passes,
} from '../../../lib/data/batches/batches.js';
import { createDealer, mixedSource, roundRows, rowsOfRound } from '../../../lib/data/batches/mixture.js';
import { arraySource } from '../../../lib/data/batches/token-source.js';
import { prepareCorpus } from '../../../lib/data/corpus/prepare.js';
import { findSources, parseInput } from '../../../lib/data/read/inputs.js';
import { failure, fixture } from '../support.js';

/** A source of `blocks` rows of 4 tokens, whose ids tell source and block. */
const numbered = (first: number, blocks: number) =>
  arraySource(
    Array.from({ length: 4 * blocks + 3 }, (_, i) => first + Math.floor(i / 4)),
    10_000,
  );

const mixture = mixedSource([
  { name: 'wiki', source: numbered(1000, 500), weight: 0.7 },
  { name: 'books', source: numbered(2000, 40), weight: 0.3 },
]);

/** First ids of the rows of many batches. */
function rows(count: number, batch: number, seed = 1): number[] {
  return Array.from({ length: count / batch }, (_, step) => {
    const { tokens } = causalBatch(mixture, { batch, seq: 4, seed, step });
    return Array.from({ length: batch }, (_, row) => tokens[4 * row]!);
  }).flat();
}

t.test('rows of a round by largest remainder, at least one each', async (t) => {
  for (const [weights, expected] of [
    [
      [0.7, 0.3],
      [700, 300],
    ],
    [
      [7, 3],
      [700, 300],
    ],
    [
      [1, 1, 1],
      [334, 333, 333],
    ],
    [
      [2, 2, 3],
      [286, 286, 428],
    ],
    [
      [1e-9, 1],
      [1, 999],
    ],
    [
      [1e-9, 1e-9, 1e-9, 5],
      [1, 1, 1, 997],
    ],
    [[5], [1000]],
  ] as const) {
    t.strictSame(rowsOfRound(weights), expected, weights.join(':'));
  }
  t.equal(
    rowsOfRound(Array.from({ length: 100 }, (_, i) => i + 1)).reduce((sum, count) => sum + count),
    roundRows,
  );
  for (const weights of [[], [0], [1, -1], [Number.NaN], [Number.POSITIVE_INFINITY], Array(101).fill(1)])
    t.match(await failure(() => rowsOfRound(weights)), /^BAD_ARGUMENT: A (mixture|weight)/);
});

t.test('each round holds the shares exactly, in an order of its own', async (t) => {
  const deal = createDealer([700, 300], 5);
  const round = (first: number) => Array.from({ length: roundRows }, (_, i) => deal(first + i));
  const [one, two] = [round(0), round(roundRows)];
  for (const [part, count] of [700, 300].entries()) {
    for (const [number, dealt] of [one, two].entries()) {
      const indices = dealt.filter((card) => card.part === part).map(({ index }) => index);
      t.strictSame(
        indices,
        Array.from({ length: count }, (_, i) => number * count + i),
        'one row of a source after the other',
      );
    }
  }
  const order = (dealt: { part: number }[]) => dealt.map(({ part }) => part).join('');
  t.not(order(one), order(two));
  t.not(order(one), order(Array.from({ length: roundRows }, (_, i) => createDealer([700, 300], 6)(i))), 'by the seed');
  // Mixed well: no stretch of 100 rows is far from the share (six standard deviations of a draw without return).
  for (let i = 0; i < 10; i++) {
    const first = one.slice(100 * i, 100 * (i + 1)).filter(({ part }) => part === 0).length;
    t.ok(Math.abs(first - 70) < 6 * Math.sqrt(100 * 0.7 * 0.3 * 0.9), `${first} of 100`);
  }
  t.strictSame(deal(3), one[3], 'any row, in any order of asking');
});

t.test('a source whose text is used up restarts in another order, the other continues', async (t) => {
  const seen = rows(1000, 10);
  const books = seen.filter((id) => id >= 2000);
  const wiki = seen.filter((id) => id < 2000);
  t.equal(books.length, 300);
  for (let epoch = 0; epoch < 7; epoch++) {
    t.equal(new Set(books.slice(40 * epoch, 40 * (epoch + 1))).size, 40, `each book's block once in epoch ${epoch}`);
  }
  t.not(books.slice(0, 40).join(), books.slice(40, 80).join());
  t.equal(new Set(wiki.slice(0, 500)).size, 500, 'each of the other once before any comes again');
  t.strictSame(passes(mixture, { rows: 1000, content: 4 }), [
    { name: 'wiki', passes: 700 / 500 },
    { name: 'books', passes: 300 / 40 },
  ]);
  t.strictSame(passes(numbered(0, 10), { rows: 25, content: 4 }), [{ name: '', passes: 2.5 }]);
});

t.test('batches follow from seed and step, however a step is cut', async (t) => {
  t.strictSame(rows(1000, 10), rows(1000, 50), 'rows do not depend on the size of batches');
  t.notSame(rows(100, 10), rows(100, 10, 2));
  const whole = causalBatch(mixture, { batch: 8, seq: 4, seed: 1, step: 130 });
  const halves = [0, 1].map((micro) =>
    causalBatch(mixture, { batch: 4, seq: 4, seed: 1, step: 130, micro, accumulation: 2 }),
  );
  t.strictSame(
    [...whole.tokens],
    halves.flatMap(({ tokens }) => [...tokens]),
  );
});

t.test('masks are drawn apart for the blocks of each source', async (t) => {
  const same = arraySource(
    Array.from({ length: 64 * 20 }, () => 7),
    100,
  );
  const twice = mixedSource(['a', 'b'].map((name) => ({ name, source: same, weight: 1 })));
  const rules = { clsId: 1, sepId: 2, maskId: 3, vocabSize: 100, specialIds: [1, 2, 3] };
  const batch = mlmBatch(twice, { ...rules, batch: 40, seq: 66, seed: 1, step: 0, targets: mlmCapacity(40 * 66) });
  const patterns = Array.from({ length: 40 }, (_, row) =>
    [...batch.positions]
      .filter((position, i) => batch.labels[i] !== noLabel && Math.floor(position / 66) === row)
      .map((position) => position % 66)
      .join(),
  );
  t.equal(new Set(patterns).size, 40);
});

t.test('held-out text has the shares as far as none of it comes twice', async (t) => {
  // 40 blocks are 30 %, so that 93 of 133 rows are from the other.
  const all = heldOutCausalBatches(mixture, { batch: 16, seq: 4 });
  const ids = all.flatMap(({ tokens, labels }) =>
    Array.from({ length: 16 }, (_, row) => (labels[4 * row] === noLabel ? -1 : tokens[4 * row]!)),
  );
  const real = ids.filter((id) => id >= 0);
  t.equal(real.length, 133);
  t.equal(new Set(real).size, 133);
  t.equal(real.filter((id) => id >= 2000).length, 40);
  const some = heldOutCausalBatches(mixture, { batch: 10, seq: 4, evaluationBatches: 2 });
  t.equal(some.length, 2);
  const chosen = some.flatMap(({ tokens }) => Array.from({ length: 10 }, (_, row) => tokens[4 * row]!));
  t.equal(chosen.filter((id) => id >= 2000).length, 6, '30 % of 20');
  const rules = { clsId: 1, sepId: 2, maskId: 3, vocabSize: 10_000, specialIds: [1, 2, 3], seed: 0 };
  t.equal(heldOutMlmBatches(mixture, { ...rules, batch: 16, seq: 6, targets: 32 }).length, all.length);
});

t.test('a read does not cross from one source into the next; a source too small for a row is named', async (t) => {
  t.strictSame([...mixture.read(2003, 4)], [2000, 2000, 2000, 2000], 'the first 4 tokens of the second source');
  t.match(await failure(() => mixture.read(2001, 4)), /are not inside one source of the mixture/);
  const small = mixedSource([
    { name: 'a', source: numbered(0, 10), weight: 1 },
    { name: 'b', source: arraySource([1, 2], 10), weight: 1 },
  ]);
  t.match(
    await failure(() => causalBatch(small, { batch: 1, seq: 4, seed: 1, step: 0 })),
    /The source "b" has 2 tokens, too few for one row of 4/,
  );
});

t.test('PATH:WEIGHT', async (t) => {
  const folder = t.testdir({ 'a:2': 'x', b: 'x' });
  for (const [text, expected] of [
    ['wiki:0.7', { path: 'wiki', weight: 0.7 }],
    ['wiki:3', { path: 'wiki', weight: 3 }],
    ['wiki:.5', { path: 'wiki', weight: 0.5 }],
    ['books/*.txt:0.3', { path: 'books/*.txt', weight: 0.3 }],
    ['C:/books', { path: 'C:/books' }],
    ['a:b', { path: 'a:b' }],
    ['wiki:', { path: 'wiki:' }],
    ['wiki:1e3', { path: 'wiki:1e3' }],
    [`${folder}/a:2:1`, { path: `${folder}/a:2`, weight: 1 }],
  ] as const) {
    t.strictSame(parseInput(text), expected, text);
  }
  t.match(
    await failure(() => parseInput(join(folder, 'a:2'))),
    /^BAD_CONFIG: ".*a:2" is a file or folder of that name, and could be ".*a" with the weight 2\. .*"[^"]*a:2:1"/,
  );
  t.equal(
    findSources([{ path: join(folder, 'a:2') }], { format: 'text' }).length,
    1,
    'an object holds a path as it is',
  );
});

t.test('inputs with weights are sources; errors of weights', async (t) => {
  const folder = t.testdir({ wiki: { 'a.txt': 'a' }, books: { 'b.txt': 'b', 'c.txt': 'c' } });
  const at = (name: string) => join(folder, name);
  const sources = findSources([`${at('wiki')}:0.7`, { path: [at('books/b.txt'), at('books/c.txt')], weight: 0.3 }], {});
  t.strictSame(
    sources.map(({ weight, files }) => [weight, files.length]),
    [
      [0.7, 1],
      [0.3, 2],
    ],
  );
  t.equal(findSources([at('wiki'), at('books')], {}).length, 1, 'without weights all is one');
  t.equal(findSources([`${at('books')}:3`], {})[0]!.weight, undefined, 'one input has all of it');
  for (const [inputs, message] of [
    [[`${at('wiki')}:1`, at('books')], /Give each input a weight or none: ".*books" has none, ".*wiki" has 1/],
    [[`${at('wiki')}:0`, `${at('books')}:1`], /The weight of ".*wiki" must be a number above 0; got 0/],
    [[{ path: at('wiki'), weight: -1 }], /must be a number above 0; got -1/],
    [[`${folder}:1`, `${at('books')}:1`], /b\.txt is in two inputs with weights: ".*" and ".*books"/],
  ] as const) {
    t.match(await failure(() => findSources(inputs, {})), message);
  }
});

t.test('a corpus of two sources: each tokenised once, other weights cost nothing', async (t) => {
  const folder = t.testdir();
  for (const [name, count] of [
    ['wiki', 300],
    ['books', 100],
  ] as const) {
    mkdirSync(join(folder, name));
    const lines = Array.from({ length: count }, (_, i) =>
      JSON.stringify({ text: i % 50 === 9 ? '' : `${name} number ${i}. `.repeat(10) }),
    );
    writeFileSync(join(folder, name, 'a.jsonl'), lines.join('\n'));
  }
  const base = { tokenizer: { path: fixture('tokenizers/gpt2/tokenizer.json.gz') }, cacheDir: join(folder, 'cache') };
  const inputs = (a: number, b: number) => [`${join(folder, 'wiki')}:${a}`, `${join(folder, 'books')}:${b}`];
  const first = await prepareCorpus({ ...base, inputs: inputs(0.7, 0.3) });
  const equal = await prepareCorpus({ ...base, inputs: inputs(7, 3) });
  const even = await prepareCorpus({ ...base, inputs: inputs(1, 1) });
  const corpora = [first, equal, even];
  t.teardown(() => corpora.forEach((corpus) => corpus.close()));
  t.strictSame(
    corpora.map(({ stats }) => stats.cached),
    [false, true, true],
  );
  t.equal(equal.key, first.key, 'the same shares');
  t.not(even.key, first.key, 'other shares are other batches');
  t.strictSame(
    first.sources.map(({ share, stats }) => [share, stats.documents, stats.skipped]),
    [
      [0.7, 294, { 'empty text': 6 }],
      [0.3, 98, { 'empty text': 2 }],
    ],
  );
  t.strictSame(first.stats.skipped, { 'empty text': 8 });
  t.equal(first.stats.tokens, first.sources[0]!.stats.tokens + first.sources[1]!.stats.tokens);
  t.equal(first.train.tokenCount + first.heldOut.tokenCount, first.stats.tokens);
  t.match(first.tokenizer.decode(first.sources[1]!.document(0, 4)), /^books number 0/);
  const { tokens } = causalBatch(first.train, { batch: 1000, seq: 16, seed: 1, step: 0 });
  const fromBooks = Array.from({ length: 1000 }, (_, row) =>
    first.tokenizer.decode(tokens.subarray(16 * row, 16 * (row + 1))),
  ).filter((row) => row.includes('books'));
  t.equal(fromBooks.length, 300);
  t.match(await failure(() => first.sources[0]!.document(294, 4)), /^BAD_ARGUMENT: There are documents 0 to 293/);
});

t.test('sources of equal sizes have orders of their own', async (t) => {
  const pair = mixedSource([
    { name: 'a', source: numbered(1000, 60), weight: 0.5 },
    { name: 'b', source: numbered(2000, 60), weight: 0.5 },
  ]);
  const { tokens } = causalBatch(pair, { batch: 200, seq: 4, seed: 1, step: 0 });
  const ids = Array.from({ length: 200 }, (_, row) => tokens[4 * row]!);
  const order = (first: number) => ids.filter((id) => id >= first && id < first + 1000).map((id) => id - first);
  const [a, b] = [order(1000).slice(0, 60), order(2000).slice(0, 60)];
  const sorted = (blocks: number[]) => blocks.toSorted((one, other) => one - other);
  t.same(sorted(a), sorted(b), 'both are read once');
  t.not(a.join(), b.join());
});
