/** From files to sources: the same tokens for any number of workers, the cache, and nothing half-written. */
import { createHash } from 'node:crypto';
import { copyFileSync, readdirSync, readFileSync, renameSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import t from 'tap';
import {
  type Corpus,
  type CorpusOptions,
  type CorpusProgress,
  prepareCorpus,
} from '../../../lib/data/corpus/prepare.js';
import { bert, failure, fixture, gpt2 } from '../support.js';

const sample = fileURLToPath(new URL('../../../data/sample', import.meta.url));
const book = (name: string): string => join(sample, `${name}.txt.gz`);
const bertPath = fixture('tokenizers/bert-base-uncased/vocab.txt');
const gptPath = fixture('tokenizers/gpt2/tokenizer.json.gz');

const open: Corpus[] = [];
async function prepare(options: CorpusOptions): Promise<Corpus> {
  const corpus = await prepareCorpus(options);
  open.push(corpus);
  return corpus;
}
t.teardown(() => {
  for (const corpus of open) corpus.close();
});

const all = (corpus: Corpus): number[] => [...corpus.train.read(0, corpus.train.tokenCount)];

/** A wiki file of `count` small articles. */
const wiki = (count: number): string =>
  Array.from(
    { length: count },
    (_, i) => `<doc id="${i}" title="T${i}">\nT${i}\n\nArticle ${i} ${'has words. '.repeat(1 + (i % 7))}\n\n</doc>\n`,
  ).join('');

t.test('documents become their ids, each with its separator', async (t) => {
  const folder = t.testdir({ wiki_00: wiki(3), 'b.txt': 'Plain text [MASK].', 'blank.txt': ' \n\n' });
  const inputs = [join(folder, 'wiki_00'), join(folder, 'blank.txt'), join(folder, 'b.txt')];
  const documents = [
    'T0\n\nArticle 0 has words. \n\n',
    'T1\n\nArticle 1 has words. has words. \n\n',
    `T2\n\nArticle 2 ${'has words. '.repeat(3)}\n\n`,
    'Plain text [MASK].',
  ];
  const cacheDir = join(folder, 'cache');
  for (const [path, tokenizer, separator] of [
    [bertPath, bert(), 102],
    [gptPath, gpt2(), 50256],
  ] as const) {
    const corpus = await prepare({ inputs, tokenizer: { path }, cacheDir, heldOut: 0 });
    t.strictSame(
      all(corpus),
      documents.flatMap((text) => [...tokenizer.encode(text), separator]),
    );
    t.equal(corpus.stats.documents, 4);
    t.equal(corpus.heldOut.tokenCount, 0);
    t.equal(corpus.train.vocabSize, tokenizer.vocabSize);
    const joined = await prepare({ inputs, tokenizer: { path }, cacheDir, heldOut: 0, separator: 'none' });
    t.strictSame(
      all(joined),
      documents.flatMap((text) => [...tokenizer.encode(text)]),
    );
  }
});

t.test('calls at the same time prepare a text once, and one that waits can be stopped', async (t) => {
  const folder = t.testdir({ wiki_00: wiki(300) });
  const options = { inputs: [join(folder, 'wiki_00')], workers: 0 };
  for (let round = 0; round < 5; round++) {
    const same = { ...options, cacheDir: join(folder, `cache ${round}`) };
    const stop = new AbortController();
    const stopped = prepareCorpus({ ...same, tokenizer: { train: 'bpe', vocabSize: 300 }, signal: stop.signal });
    stop.abort();
    const calls = [0.02, 0.1, 0.02].map((heldOut) =>
      prepare({ ...same, heldOut, tokenizer: { train: 'bpe', vocabSize: 300 } }),
    );
    await t.rejects(stopped, { code: 'ABORT_ERR' });
    const made = await Promise.all(calls);
    t.same(made.map(({ stats }) => stats.cached).sort(), [false, true, true]);
    t.equal(made[0]!.key, made[2]!.key);
  }
});

const twoBooks = [book('conrad-typhoon'), book('twain-tom-sawyer-detective')];
for (const [tokenizer, counts] of [
  [{ path: gptPath }, [0, 3]],
  [{ train: 'wordpiece', vocabSize: 600 }, [0, 1]],
] as const) {
  t.test(
    `${JSON.stringify(counts)} workers write the same files ${'path' in tokenizer ? 'with' : 'and train'} a tokenizer`,
    async (t) => {
      const folder = t.testdir({ wiki_00: wiki(400) });
      const contents: string[] = [];
      for (const workers of counts) {
        const cacheDir = join(folder, `cache-${workers}`);
        const corpus = await prepare({ inputs: [join(folder, 'wiki_00'), ...twoBooks], tokenizer, cacheDir, workers });
        t.equal(corpus.stats.cached, false);
        contents.push(
          entries(cacheDir)
            .map((path) => `${path} ${readFileSync(join(cacheDir, path)).toString('base64')}`)
            .join('\n'),
        );
      }
      t.ok(contents.every((content) => content === contents[0]));
    },
  );
}

/** Files of a cache's entries, without the memory of digests. */
function entries(cacheDir: string): string[] {
  const folders = readdirSync(cacheDir)
    .filter((name) => name !== 'digests.json')
    .sort();
  return folders.flatMap((name) =>
    readdirSync(join(cacheDir, name))
      .sort()
      .map((file) => join(name, file)),
  );
}

t.test('a book in sections: held-out text is contiguous text of the book and not in training', async (t) => {
  const corpus = await prepare({
    inputs: [book('conrad-typhoon')],
    tokenizer: { path: gptPath },
    cacheDir: t.testdir(),
    heldOut: 0.05,
  });
  t.equal(corpus.stats.heldOutUnit, 'section');
  t.equal(corpus.stats.trainTokens + corpus.stats.heldOutTokens, corpus.stats.tokens);
  const text = gunzipSync(readFileSync(book('conrad-typhoon'))).toString();
  const ids = [...gpt2().encode(text), 50256];
  t.equal(corpus.stats.tokens, ids.length);
  const held = corpus.heldOut.read(0, 200);
  const passage = gpt2().decode(held);
  t.ok(text.includes(passage), 'the words stand so in the book');
  t.notOk(
    gpt2().decode(corpus.train.read(0, corpus.train.tokenCount)).includes(passage),
    'and not in the training text',
  );
});

t.test('the second start uses the cache, under any name of the file', async (t) => {
  const folder = t.testdir();
  const inputs = [join(folder, 'a.txt.gz')];
  copyFileSync(book('mill-autobiography'), inputs[0]!);
  utimesSync(inputs[0]!, new Date(), new Date());
  const options = { tokenizer: { train: 'bpe', vocabSize: 500 }, cacheDir: join(folder, 'cache') } as const;
  const first = await prepare({ inputs, ...options });
  const second = await prepare({ inputs, ...options });
  t.strictSame([first.stats.cached, second.stats.cached], [false, true]);
  t.equal(second.key, first.key);
  t.ok(all(second).join() === all(first).join());
  renameSync(inputs[0]!, join(folder, 'b.txt.gz'));
  const renamed = await prepare({ inputs: [join(folder, 'b.txt.gz')], ...options });
  t.strictSame([renamed.stats.cached, renamed.key], [true, first.key], 'the content counts, not the name');
  const other = await prepare({ inputs: [join(folder, 'b.txt.gz')], ...options, heldOutSeed: 7 });
  t.equal(other.stats.cached, true, 'the split is not part of the tokens');
  t.not(other.key, first.key, 'but of the key');
});

t.test('digests of settled files are remembered, so that the second start does not read them', async (t) => {
  const folder = t.testdir({ 'a.txt': wiki(200) });
  const inputs = [join(folder, 'a.txt')];
  const cacheDir = join(folder, 'cache');
  const memory = join(cacheDir, 'digests.json');
  const options = { inputs, tokenizer: { path: bertPath }, cacheDir } as const;
  const first = await prepare(options);
  t.throws(() => readFileSync(memory), 'a file this young may still change within one tick of its clock');
  await new Promise((resolve) => setTimeout(resolve, 2100));
  await prepare(options);
  const [[fingerprint, digest]] = Object.entries(
    JSON.parse(readFileSync(memory, 'utf8')) as Record<string, string>,
  ) as [[string, string]];
  t.equal(digest, createHash('sha256').update(wiki(200)).digest('hex'));
  // A wrong memory is believed until the text is read, and then noticed.
  writeFileSync(memory, JSON.stringify({ [fingerprint]: digest.replace(/./g, '0') }));
  t.match(await failure(() => prepare(options)), /^BAD_CORPUS: .*a\.txt was changed while it was read/);
  writeFileSync(memory, '{"cut');
  const again = await prepare(options);
  t.strictSame([again.stats.cached, again.key], [true, first.key], 'a damaged memory is made again');
});

t.test('other text, tokenizer or separator is another entry; the same text again is the old one', async (t) => {
  const folder = t.testdir({ 'a.txt': wiki(200) });
  const inputs = [join(folder, 'a.txt')];
  const cacheDir = join(folder, 'cache');
  const options = { inputs, tokenizer: { path: bertPath }, cacheDir } as const;
  const first = await prepare(options);
  const changed = wiki(200).replace('Article 7', 'Article 8');
  writeFileSync(inputs[0]!, changed);
  const second = await prepare(options);
  t.equal(second.stats.cached, false, 'same size, other content');
  t.not(second.key, first.key);
  writeFileSync(inputs[0]!, wiki(200));
  const third = await prepare(options);
  t.strictSame([third.stats.cached, third.key], [true, first.key]);
  t.equal((await prepare({ ...options, tokenizer: { path: gptPath } })).stats.cached, false);
  t.equal((await prepare({ ...options, separator: 'none' })).stats.cached, false);
});

t.test('a damaged entry is made again', async (t) => {
  const folder = t.testdir({ 'a.txt': wiki(200) });
  const cacheDir = join(folder, 'cache');
  const options = {
    inputs: [join(folder, 'a.txt')],
    tokenizer: { train: 'wordpiece', vocabSize: 200 },
    cacheDir,
  } as const;
  const first = await prepare(options);
  const expected = all(first);
  for (const [file, size] of [
    ['tokens.bin', 1500],
    ['tokens.bin', 10],
    ['documents.bin', 80],
    ['tokenizer.json', 100],
  ] as const) {
    const entry = entries(cacheDir).find((path) => path.endsWith(file))!;
    truncateSync(join(cacheDir, entry), size);
    const again = await prepare(options);
    t.equal(again.stats.cached, file === 'tokenizer.json', `${file} cut to ${size} bytes`);
    t.strictSame(all(again), expected);
  }
  // One bit, of which no length and no syntax tells.
  for (const [file, place] of [
    ['tokens.bin', 1024 + 301],
    ['tokens.bin', 25],
    ['documents.bin', 8 * 20 + 3],
    ['about.json', 3],
    ['tokenizer.json', 400],
    ['sha256.json', 40],
  ] as const) {
    const path = join(
      cacheDir,
      entries(cacheDir).find((path) => path.endsWith(file) && !path.startsWith('tokenizer-')) ?? '',
    );
    const tokenizer = join(cacheDir, entries(cacheDir).find((path) => path.endsWith('tokenizer.json'))!);
    const damaged = file === 'tokenizer.json' ? tokenizer : path;
    const bytes = readFileSync(damaged);
    bytes[place]! ^= 1;
    writeFileSync(damaged, bytes);
    const again = await prepare(options);
    t.equal(again.stats.cached, file === 'tokenizer.json', `${file}, a bit at ${place}`);
    t.strictSame(all(again), expected);
    t.equal((await prepare(options)).stats.cached, true);
  }
});

t.test('what fails leaves nothing behind', async (t) => {
  const packed = gzipSync(wiki(500));
  const folder = t.testdir({
    'cut.txt.gz': packed.subarray(0, packed.length - 100),
    'good.txt': wiki(50),
    'blank.txt': ' \n \t\n',
    'small.txt': 'Too little text.',
    'latin1.txt': Buffer.from([0x61, 0xe9, 0x61]),
    'a-file': 'x',
  });
  const cacheDir = join(folder, 'cache');
  const at = (...names: string[]): string[] => names.map((name) => join(folder, name));
  const base = { tokenizer: { path: bertPath }, cacheDir } as const;
  const expected: [CorpusOptions, RegExp][] = [
    [{ ...base, inputs: at('good.txt', 'cut.txt.gz') }, /^BAD_CORPUS: .*cut\.txt\.gz ends before its gzip data does/],
    [
      { ...base, inputs: at('good.txt', 'cut.txt.gz'), workers: 2 },
      /^BAD_CORPUS: .*cut\.txt\.gz ends before its gzip data does/,
    ],
    [{ ...base, inputs: at('good.txt', 'latin1.txt') }, /^BAD_CORPUS: .*latin1\.txt is not UTF-8: byte 1/],
    [
      { ...base, inputs: at('good.txt', 'latin1.txt'), tokenizer: { train: 'bpe', vocabSize: 300 } },
      /^BAD_CORPUS: .*latin1\.txt is not UTF-8/,
    ],
    [
      { ...base, inputs: at('blank.txt') },
      /^BAD_CORPUS: The corpus is empty: 1 file\(s\), which contain only white space/,
    ],
    [
      { ...base, inputs: at('blank.txt'), tokenizer: { train: 'wordpiece', vocabSize: 300 } },
      /^BAD_CORPUS: No word to train/,
    ],
    [{ ...base, inputs: at('missing.txt') }, /^BAD_CORPUS: There is no file or folder/],
    [
      { ...base, inputs: at('good.txt'), tokenizer: { train: 'bpe', vocabSize: 10 } },
      /^BAD_ARGUMENT: The vocabSize of a bpe tokenizer/,
    ],
    [{ ...base, inputs: at('good.txt'), tokenizer: { path: join(folder, 'good.txt') } }, /^BAD_TOKENIZER: /],
    [
      { ...base, inputs: at('good.txt'), heldOut: 2 },
      /^BAD_ARGUMENT: heldOut must be a fraction from 0 to 0\.5; got 2/,
    ],
    [{ ...base, inputs: at('good.txt'), workers: -1 }, /^BAD_ARGUMENT: workers must be/],
    [{ ...base, inputs: at('good.txt'), signal: AbortSignal.abort() }, /^ABORT_ERR: /],
    [
      { ...base, inputs: at('good.txt'), cacheDir: join(folder, 'a-file') },
      /^FILE_SYSTEM: The cache of prepared text cannot be used: .*a-file: something of that name is there already \(EEXIST\)/,
    ],
  ];
  for (const [options, message] of expected) t.match(await failure(() => prepare(options)), message);
  t.strictSame(
    readdirSync(cacheDir).filter((name) => name !== 'digests.json'),
    [],
  );
  t.match(
    await failure(() => prepare({ ...base, inputs: at('small.txt') })),
    /^BAD_CORPUS: The corpus has 5 tokens in 1 document, too few to hold a part out/,
  );
  t.equal((await prepare({ ...base, inputs: at('small.txt'), heldOut: 0 })).train.tokenCount, 5);
});

t.test('it can be stopped in every phase, and then starts again', async (t) => {
  const cacheDir = t.testdir();
  const options = { inputs: [sample], tokenizer: { train: 'bpe', vocabSize: 1500 }, cacheDir } as const;
  for (const phase of ['read', 'count words', 'train tokenizer', 'tokenise']) {
    const controller = new AbortController();
    const onProgress = (progress: CorpusProgress): void => {
      if (progress.phase === phase && progress.done > 0) controller.abort();
    };
    t.match(
      await failure(() =>
        prepare({ ...options, workers: phase === 'tokenise' ? 1 : 0, signal: controller.signal, onProgress }),
      ),
      /^ABORT_ERR: Preparing the corpus was cancelled/,
      phase,
    );
    t.strictSame(
      entries(cacheDir).filter((path) => path.includes('.tmp')),
      [],
    );
  }
});

t.test('progress goes up to the whole, phase by phase', async (t) => {
  const seen: CorpusProgress[] = [];
  const corpus = await prepare({
    inputs: twoBooks,
    tokenizer: { train: 'bpe', vocabSize: 500 },
    cacheDir: t.testdir(),
    onProgress: (progress) => seen.push(progress),
  });
  t.strictSame([...new Set(seen.map(({ phase }) => phase))], ['read', 'count words', 'train tokenizer', 'tokenise']);
  const last = seen.at(-1)!;
  t.strictSame([last.done, last.total], [corpus.stats.sizeBytes, corpus.stats.sizeBytes]);
  t.strictSame([last.tokens, last.documents], [corpus.stats.tokens, 2]);
  t.ok(last.tokensPerSecond > 0);
});

t.test('what dead processes left is removed, those of living ones stay', async (t) => {
  const { hostname } = await import('node:os');
  const living = `.tmp-${hostname()}-${process.pid}-00aa`;
  const elsewhere = '.tmp-another-machine-4194399-00aa';
  const folder = t.testdir({
    'a.txt': 'Some text.',
    cache: {
      [`.tmp-${hostname()}-4194399-00aa`]: {},
      [`.writing-${hostname()}-4194303-1-0123456789ab-digests.json`]: '{',
      [living]: {},
      [elsewhere]: {},
    },
  });
  await prepare({
    inputs: [join(folder, 'a.txt')],
    tokenizer: { path: bertPath },
    cacheDir: join(folder, 'cache'),
    heldOut: 0,
  });
  t.strictSame(
    readdirSync(join(folder, 'cache'))
      .filter((name) => /^\.(tmp|writing)/.test(name))
      .sort(),
    [living, elsewhere].sort(),
  );
});
