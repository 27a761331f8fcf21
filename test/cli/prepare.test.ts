import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../lib/cli/run.js';
import { engineMissing, memoryIo, temporaryFolder } from './support.js';

/** Records of which every tenth has no text. */
const records = (name: string, count: number): string =>
  Array.from({ length: count }, (_, i) =>
    JSON.stringify(i % 10 === 5 ? { body: null } : { body: `The ${name} number ${i} is a good one. `.repeat(8) }),
  ).join('\n');

function corpusFolder(): string {
  const folder = temporaryFolder();
  for (const [name, count] of [
    ['wiki', 200],
    ['books', 100],
  ] as const) {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, 'a.jsonl'), records(name, count));
  }
  return folder;
}

t.test('shows what came of the text, and finds it in the cache the second time', async (t) => {
  const folder = corpusFolder();
  const args = ['prepare', '--data', join(folder, 'wiki'), '--field', 'body', '--vocab-size', '300'];
  const common = [...args, '--cache', join(folder, 'cache')];
  const io = memoryIo();
  t.equal(await run(common, io), 0, io.err());
  t.match(io.out(), /^source +files +size +documents +tokens +held out +skipped +tokens\/s\n/);
  t.match(io.out(), /wiki +1 +[\d.]+ KiB +180 +\d+ +\d+ +20 +[\d.]+ ?[kM]?\n/);
  t.match(io.out(), /\nskipped: 20 with "body" is null\n/);
  t.match(io.out(), /\ntokenizer: bpe, 300 tokens\n/);
  t.match(io.out(), /\n.*wiki, document 45: "The wiki number 50 is a good one\. The wiki/, 'document 45 is record 50');
  t.match(io.out(), /\n.*wiki, document 135: "The wiki number 150 is/);
  const again = memoryIo();
  t.equal(await run([...common, '--samples', '0'], again), 0);
  t.match(again.out(), /from the cache\n/);
  t.notMatch(again.out(), /document 45/);
  const llama = memoryIo();
  t.equal(await run([...common, '--model', 'llama-nano'], llama), 0);
  t.match(llama.out(), /from the cache\n/, 'a Llama reads what a GPT reads');
});

t.test('--json holds the counts', async (t) => {
  const folder = corpusFolder();
  const data = [`${join(folder, 'wiki')}:3`, `${join(folder, 'books')}:1`];
  const io = memoryIo();
  const args = ['--field', 'body', '--vocab-size', '300', '--cache', join(folder, 'cache'), '--samples', '1', '--json'];
  t.equal(await run(['prepare', '--data', ...data, ...args], io), 0, io.err());
  const found = JSON.parse(io.out());
  t.strictSame(
    found.sources.map(({ name, share, stats }: any) => [name, share, stats.documents, stats.skipped]),
    [
      [join(folder, 'wiki'), 0.75, 180, { '"body" is null': 20 }],
      [join(folder, 'books'), 0.25, 90, { '"body" is null': 10 }],
    ],
  );
  t.equal(found.stats.documents, 270);
  t.equal(found.stats.tokens, found.sources[0].stats.tokens + found.sources[1].stats.tokens);
  t.match(found.sources[1].samples, [{ document: 45, text: /^The books number 50 is/ }]);
  t.ok(found.sources.every(({ tokensPerSecond }: any) => tokensPerSecond > 0));
  t.equal(io.err(), '', 'no progress among machine-readable lines');
});

t.test('a mixture says its shares and when a source begins again; paths in a file are relative to it', async (t) => {
  const folder = corpusFolder();
  const config = join(folder, 'run.json');
  const inputs = [{ path: 'wiki', weight: 7, field: 'body' }, 'books:3'];
  writeFileSync(config, JSON.stringify({ data: inputs, field: 'body', vocabSize: 300, cache: join(folder, 'cache') }));
  const io = memoryIo();
  t.equal(await run(['prepare', '--config', config], io), 0, io.err());
  t.match(io.out(), /wiki +70\.0 % +1 /);
  t.match(io.out(), /books +30\.0 % +1 /);
  t.match(io.out(), /\nin all 270 documents, \d+ tokens\n/);
  t.match(io.out(), /books starts again after each [\d.]+ ?[kM]? tokens of training/);
});

t.test('settings that are wrong say so', async (t) => {
  const folder = corpusFolder();
  let files = 0;
  const config = (value: unknown): string => {
    const path = join(folder, `run-${files++}.json`);
    writeFileSync(path, JSON.stringify(value));
    return path;
  };
  const wiki = join(folder, 'wiki');
  for (const [args, message] of [
    [[], /No text to train on: give --data/],
    [['--data', wiki, '--format', 'jsnol'], /there is no format "jsnol"; did you mean "jsonl"\?/],
    [['--data', wiki, '--samples', '-1'], /--samples must be a whole number from 0; got -1/],
    [['--data', wiki], /line 1 has no field "text"\. Name the one with the text with --field \(it has "body"\)/],
    [['--data', `${wiki}:1`, join(folder, 'books')], /Give each input a weight or none/],
    [
      ['--config', config({ data: [{ path: wiki, wieght: 1 }] })],
      /data\.wieght: there is no such setting; did you mean "weight"\?/,
    ],
    [['--config', config({ data: wiki, field: 0 })], /field: .*expected at least 1; got 0/],
  ] as const) {
    const io = memoryIo();
    t.equal(await run(['prepare', '--cache', join(folder, 'cache'), ...args], io), 1, args.join(' '));
    t.match(io.err(), message);
    t.match(io.err(), /^apollo-lm: /m);
    t.equal(io.out(), '');
  }
});

t.test('tables: by number, without a header, with quotes or without', async (t) => {
  const folder = temporaryFolder();
  writeFileSync(
    join(folder, 'a.tsv'),
    Array.from({ length: 199 }, (_, i) => `${i}\t"Row ${i} of the table"`).join('\n'),
  );
  const common = ['prepare', '--data', folder, '--format', 'tsv', '--field', '2', '--no-header', '--vocab-size', '300'];
  const options = ['--held-out', '0.1', '--cache', join(folder, 'cache'), '--samples', '1'];
  for (const [quotes, text] of [
    [[], /document 99: "\\"Row 99 of the table\\"/],
    [['--quotes'], /document 99: "Row 99 of the table[^"]/],
  ] as const) {
    const io = memoryIo();
    t.equal(await run([...common, ...options, ...quotes], io), 0, io.err());
    t.match(io.out(), text);
  }
});

t.test('a named header, quotes of CSV as text, entities of WikiExtractor', async (t) => {
  const folder = temporaryFolder();
  const document = '<doc id="1" url="x" title="T">\nT\n\nlaw &amp; order &lt;now&gt;\n</doc>\n';
  writeFileSync(join(folder, 'a.csv'), `body,note\n${'"a row of text",1\n'.repeat(40)}`);
  writeFileSync(join(folder, 'a.txt'), document.repeat(40));
  const common = ['--vocab-size', '300', '--held-out', '0', '--cache', join(folder, 'cache'), '--samples', '1'];
  for (const [name, options, text] of [
    ['a.csv', ['--header', '--field', 'body'], /^a row of text/],
    ['a.csv', ['--field', 'body', '--no-quotes'], /^"a row of text"/],
    ['a.txt', ['--format', 'wiki'], /law &amp; order &lt;now&gt;\n/],
    ['a.txt', ['--format', 'wiki', '--decode-entities'], /law & order <now>\n/],
  ] as const) {
    const io = memoryIo();
    t.equal(await run(['prepare', '--data', join(folder, name), ...options, ...common, '--json'], io), 0, io.err());
    const { stats, sources } = JSON.parse(io.out());
    t.equal(stats.documents, 40, 'the header is no document');
    t.match(sources[0].samples[0].text.trim(), text);
  }
});

t.test('Ctrl-C stops it with a word on how to go on', async (t) => {
  const folder = corpusFolder();
  const io = memoryIo({ onWrite: (text, own) => text.includes('text: read') && own.interrupt() });
  const args = ['prepare', '--data', join(folder, 'wiki'), '--field', 'body', '--cache', join(folder, 'cache')];
  t.equal(await run(args, io), 130);
  t.match(io.err(), /Stopping: the tokenised part is being saved\. Ctrl-C again exits at once\./);
  t.match(io.err(), /Stopped\. Give the same command again to resume: the tokenised part is in .*cache\.\n$/);
  t.equal(io.out(), '');
  const again = memoryIo();
  t.equal(await run(args, again), 0);
});

t.test('train finds what was prepared', { skip: engineMissing() }, async (t) => {
  const folder = corpusFolder();
  const cache = join(folder, 'cache');
  const data = ['--data', `${join(folder, 'wiki')}:2`, `${join(folder, 'books')}:1`, '--field', 'body'];
  const settings = ['--preset', 'smoke', ...data, '--cache', cache];
  const io = memoryIo();
  t.equal(await run(['prepare', ...settings], io), 0, io.err());
  // Digests are remembered of files that were left alone for two seconds: on a slow machine, between the two commands.
  const entries = () =>
    readdirSync(cache)
      .filter((name) => name !== 'digests.json')
      .sort();
  const before = entries();
  const training = memoryIo();
  const out = join(folder, 'run');
  t.equal(await run(['train', ...settings, '--steps', '2', '--out', out], training), 0, training.err());
  t.strictSame(entries(), before);
  t.match(training.err(), /wiki 66\.7 %, gone through 0\.\d\d times; .*books 33\.3 %, gone through \d\.\d\d times/);
  t.ok(existsSync(join(out, 'settings.json')));
  const resumed = memoryIo();
  t.equal(await run(['train', '--resume', '--out', out, '--steps', '2'], resumed), 0, resumed.err());
});
