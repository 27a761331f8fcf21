/** Trainers against a plain trainer that recounts everything, and against Python's `tokenizers` where it is at hand. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { trainMerges } from '../../../lib/data/tokenizer/merge-trainer.js';
import { createTokenizer } from '../../../lib/data/tokenizer/tokenizer.js';
import { addWordCounts, countWords, trainTokenizer } from '../../../lib/data/tokenizer/train-tokenizer.js';
import { failure, fixture } from '../support.js';

const prose = readFileSync(fixture('text/sample_text.txt'), 'utf8');
const book = gunzipSync(
  readFileSync(new URL('../../../data/sample/conrad-typhoon.txt.gz', import.meta.url)),
).toString();

/** Merges by definition: count all pairs again for each merge, take the most frequent (ties: smaller ids). */
function plainMerges(
  words: number[][],
  counts: number[],
  tokens: string[],
  vocabularySize: number,
): [string, string][] {
  const merges: [string, string][] = [];
  while (tokens.length < vocabularySize) {
    const pairs = new Map<string, number>();
    words.forEach((word, w) => {
      for (let i = 0; i + 1 < word.length; i++)
        pairs.set(`${word[i]} ${word[i + 1]}`, (pairs.get(`${word[i]} ${word[i + 1]}`) ?? 0) + counts[w]!);
    });
    const ranked = [...pairs]
      .map(([key, count]) => ({ count, left: Number(key.split(' ')[0]), right: Number(key.split(' ')[1]) }))
      .sort((a, b) => b.count - a.count || a.left - b.left || a.right - b.right);
    const best = ranked[0];
    if (best === undefined || best.count < 2) break;
    const joined = tokens[best.left]! + tokens[best.right]!;
    if (!tokens.includes(joined)) tokens.push(joined);
    const merged = tokens.indexOf(joined);
    merges.push([tokens[best.left]!, tokens[best.right]!]);
    for (const word of words) {
      for (let i = 0; i + 1 < word.length; i++)
        if (word[i] === best.left && word[i + 1] === best.right) word.splice(i, 2, merged);
    }
  }
  return merges;
}

t.test('merges are those of a trainer that recounts all pairs each time', async (t) => {
  const counts = [...countWords('bpe', prose.repeat(2))];
  const letters = [...new Set(counts.flatMap(([word]) => [...word]))].sort();
  const words = (): number[][] => counts.map(([word]) => [...word].map((letter) => letters.indexOf(letter)));
  const expected = plainMerges(
    words(),
    counts.map(([, count]) => count),
    [...letters],
    letters.length + 150,
  );
  const merges = await trainMerges({
    words: words(),
    counts: counts.map(([, count]) => count),
    tokens: [...letters],
    vocabularySize: letters.length + 150,
    minCount: 2,
    continuation: '',
  });
  t.equal(merges.length, 150);
  t.strictSame(merges, expected);
});

t.test('the textbook example merges es, est, lo, low', async (t) => {
  // Counts of Sennrich et al. 2016: low 5, lower 2, newest 6, widest 3: es 9, then es+t 9, then lo 7, lo+w 7.
  const letters = ['d', 'e', 'i', 'l', 'n', 'o', 'r', 's', 't', 'w'];
  const words = ['low', 'lower', 'newest', 'widest'].map((word) => [...word].map((letter) => letters.indexOf(letter)));
  const merges = await trainMerges({
    words,
    counts: [5, 2, 6, 3],
    tokens: letters,
    vocabularySize: 14,
    minCount: 2,
    continuation: '',
  });
  t.strictSame(merges, [
    ['e', 's'],
    ['es', 't'],
    ['l', 'o'],
    ['lo', 'w'],
  ]);
  t.strictSame(letters.slice(10), ['es', 'est', 'lo', 'low']);
});

for (const kind of ['bpe', 'wordpiece'] as const) {
  t.test(`${kind}: the result has the size asked for and does not depend on the order of the counts`, async (t) => {
    const counts = countWords(kind, book);
    const definition = await trainTokenizer(kind, counts, { vocabSize: 2000 });
    t.strictSame(await trainTokenizer(kind, new Map([...counts].reverse()), { vocabSize: 2000 }), definition);
    const tokenizer = createTokenizer(definition);
    t.equal(tokenizer.kind, kind);
    t.equal(tokenizer.vocabSize, 2000);
    t.equal(new Set(Object.values(definition.model.vocab!)).size, 2000, 'one id a token');
  });
}

t.test('bpe gives any text back, the bytes it never saw included', async (t) => {
  const tokenizer = createTokenizer(await trainTokenizer('bpe', countWords('bpe', book), { vocabSize: 1000 }));
  for (const text of [book, prose, 'ünknown 文字 🙂\u0001\t\r\n  x'])
    t.equal(tokenizer.decode(tokenizer.encode(text)), text);
  t.equal(tokenizer.specials.eot, 0);
  t.strictSame([...tokenizer.encode('<|endoftext|>')], [0]);
  t.ok(tokenizer.encode(book).length < book.length / 2.5, 'and it is shorter than letters');
});

t.test('wordpiece knows the words of its text and calls letters it never saw unknown', async (t) => {
  const tokenizer = createTokenizer(
    await trainTokenizer('wordpiece', countWords('wordpiece', book), { vocabSize: 2000 }),
  );
  t.strictSame(tokenizer.specials, { pad: 0, unk: 1, cls: 2, sep: 3, mask: 4, eot: undefined });
  t.equal(tokenizer.encode('Captain').length, 1);
  t.strictSame([...tokenizer.encode('文')], [1]);
  const unknown = tokenizer.encode(book).filter((id) => id === 1).length;
  t.equal(unknown, 0);
});

t.test('counts of pieces add up to the counts of the whole', async (t) => {
  const whole = countWords('wordpiece', book);
  const total = new Map<string, number>();
  const middle = book.indexOf(' ', book.length / 2);
  for (const piece of [book.slice(0, middle), book.slice(middle)]) {
    const counts = countWords('wordpiece', piece);
    addWordCounts(total, [...counts.keys()], [...counts.values()]);
  }
  t.strictSame(new Map([...total].sort()), new Map([...whole].sort()));
});

t.test('what cannot be trained says why', async (t) => {
  t.match(
    await failure(() => trainTokenizer('bpe', new Map([['a', 1]]), { vocabSize: 256 })),
    /^BAD_ARGUMENT: The vocabSize of a bpe tokenizer must be a whole number from 257/,
  );
  t.match(
    await failure(() => trainTokenizer('wordpiece', new Map([['a', 1]]), { vocabSize: 8.5 })),
    /^BAD_ARGUMENT: .*got 8\.5/,
  );
  t.match(await failure(() => trainTokenizer('bpe', new Map(), { vocabSize: 300 })), /^BAD_CORPUS: No word to train/);
});

const python = process.env['APOLLO_PYTHON'] ?? 'python3';
const hasPython = spawnSync(python, ['-c', 'import tokenizers']).status === 0;
t.test(
  "what was trained loads in Python's tokenizers and gives the same ids",
  { skip: hasPython ? false : 'needs a Python with tokenizers (set APOLLO_PYTHON)' },
  async (t) => {
    const script =
      'import sys, json, tokenizers\nt = tokenizers.Tokenizer.from_file(sys.argv[1])\n' +
      'print(json.dumps(t.encode(sys.stdin.buffer.read().decode("utf-8"), add_special_tokens=False).ids))';
    for (const kind of ['bpe', 'wordpiece'] as const) {
      const definition = await trainTokenizer(kind, countWords(kind, book), { vocabSize: 3000 });
      const folder = t.testdir({ 'tokenizer.json': JSON.stringify(definition) });
      const input = book + prose;
      const { stdout, stderr } = spawnSync(python, ['-c', script, join(folder, 'tokenizer.json')], {
        input,
        maxBuffer: 1 << 26,
        encoding: 'utf8',
      });
      t.equal(stderr, '');
      t.strictSame(JSON.parse(stdout), [...createTokenizer(definition).encode(input)], kind);
    }
  },
);
