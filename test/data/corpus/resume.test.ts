/** A preparation that is stopped resumes where it was, and ends with the same bits. */
import { spawn } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { type CorpusOptions, type CorpusProgress, prepareCorpus } from '../../../lib/data/corpus/prepare.js';
import { failure, fixture } from '../support.js';

const tokenizer = { path: fixture('tokenizers/bert-base-uncased/vocab.txt') };

/** Records, among them some that are skipped, the last one too. */
function records(from: number, count: number): string {
  const lines: string[] = [];
  for (let i = from; i < from + count; i++) {
    if (i % 7 === 3) lines.push(JSON.stringify({ text: i % 2 === 0 ? null : '  ' }));
    lines.push(JSON.stringify({ text: `Record ${i} says: ${'some words, '.repeat(1 + (i % 400))}` }));
  }
  lines.push(JSON.stringify({ text: null }));
  return `${lines.join('\n')}\n`;
}

const files = {
  'a.jsonl': records(0, 700),
  'b.jsonl': records(700, 20),
  'c.txt': 'One long document. '.repeat(40_000),
  'd.jsonl': records(720, 300),
};

/** Files of the entries that are whole, and names of partial ones. */
function cached(cacheDir: string): { entries: string[]; partial: string[] } {
  const names = readdirSync(cacheDir).filter((name) => name !== 'digests.json');
  const whole = names.filter((name) => !name.startsWith('.')).sort();
  return {
    entries: whole.flatMap((name) =>
      readdirSync(join(cacheDir, name))
        .sort()
        .map((file) => `${name}/${file} ${readFileSync(join(cacheDir, name, file)).toString('base64')}`),
    ),
    partial: names.filter((name) => name.startsWith('.')),
  };
}

/** A signal that fires when it has been looked at `limit` times, so that a stop does not depend on the clock. */
function signalAfter(limit: number): { signal: AbortSignal; looks(): number } {
  let looks = 0;
  const signal = Object.defineProperties(new AbortController().signal, {
    aborted: { get: () => ++looks > limit },
    reason: { value: 'test' },
  });
  return { signal, looks: () => looks };
}

async function finish(options: CorpusOptions) {
  const corpus = await prepareCorpus(options);
  corpus.close();
  return corpus;
}

t.test('stopped again and again, it ends with the same bits and counts', async (t) => {
  const folder = t.testdir(files);
  const inputs = Object.keys(files).map((name) => join(folder, name));
  const base = { inputs, tokenizer, journalEvery: 1 };
  const whole = signalAfter(Number.POSITIVE_INFINITY);
  const straight = await finish({ ...base, cacheDir: join(folder, 'straight'), workers: 0, signal: whole.signal });
  const looks = whole.looks();
  const expected = cached(join(folder, 'straight'));
  // Of the numbers 0 to 1019, 146 are 3 more than a multiple of 7; half of these are even.
  t.strictSame(straight.stats.skipped, { '"text" is null': 73 + 3, 'empty text': 73 });
  t.equal(straight.stats.documents, 1021);

  const cacheDir = join(folder, 'stopped');
  let furthest = 0;
  for (const [share, workers] of [
    [0.4, 0],
    [0.4, 1],
    [0.45, 2],
    [0.45, 0],
  ] as const) {
    const { signal } = signalAfter(Math.floor(looks * share));
    const seen: CorpusProgress[] = [];
    const options = { ...base, cacheDir, workers, signal, onProgress: (state: CorpusProgress) => seen.push(state) };
    t.match(await failure(() => finish(options)), /^ABORT_ERR/);
    const { entries, partial } = cached(cacheDir);
    t.strictSame(entries, [], 'nothing that would be taken for a whole');
    t.equal(partial.length, 1);
    t.match(partial[0], /^\.begun-[0-9a-f]{32}-free-0-[0-9a-f]{12}$/);
    const journal = JSON.parse(readFileSync(join(cacheDir, partial[0]!, 'journal.json'), 'utf8')) as { tokens: number };
    t.ok(journal.tokens >= furthest, `${journal.tokens} tokens after ${furthest}`);
    t.equal(firstTokens(seen), furthest, 'resumes after what the journal holds');
    furthest = journal.tokens;
  }
  const seen: CorpusProgress[] = [];
  const resumed = await finish({ ...base, cacheDir, onProgress: (state) => seen.push(state) });
  t.equal(firstTokens(seen), furthest);
  t.strictSame(resumed.stats, straight.stats);
  t.equal(resumed.key, straight.key);
  t.strictSame(cached(cacheDir), expected, 'the same bits');
});

/** Tokens that were found from before: those of the second report of tokenising. */
function firstTokens(seen: readonly CorpusProgress[]): number | undefined {
  return seen.filter(({ phase }) => phase === 'tokenise')[1]?.tokens;
}

/** A cache in which a preparation was stopped half-way; the name of the partial entry. */
async function begin(cacheDir: string, inputs: readonly string[]): Promise<string> {
  const options = { inputs, tokenizer, cacheDir, journalEvery: 1, workers: 0 };
  const { signal } = signalAfter(16);
  const message = await failure(() => finish({ ...options, signal }));
  const { partial } = cached(cacheDir);
  if (!message.startsWith('ABORT_ERR') || partial.length !== 1)
    throw new Error(`${message}, ${partial.length} partial`);
  return partial[0]!;
}

t.test('what a process leaves that was killed is taken over, what it wrote last is done again', async (t) => {
  const folder = t.testdir(files);
  const inputs = [join(folder, 'a.jsonl'), join(folder, 'c.txt')];
  await finish({ inputs, tokenizer, cacheDir: join(folder, 'straight') });
  const expected = cached(join(folder, 'straight')).entries;
  const cases: [string, (cacheDir: string, partial: string) => void, boolean][] = [
    [
      'of a process that is gone',
      (cacheDir, partial) => {
        const left = join(cacheDir, partial.replace('-free-0-', `-${hostname()}-4194399-`));
        renameSync(join(cacheDir, partial), left);
        appendFileSync(join(left, 'tokens.bin'), 'after the journal');
        appendFileSync(join(left, 'documents.bin'), 'after the journal');
      },
      true,
    ],
    [
      'with fewer tokens than its journal says',
      (cacheDir, partial) => truncateSync(join(cacheDir, partial, 'tokens.bin'), 3000),
      false,
    ],
    ['with a damaged journal', (cacheDir, partial) => truncateSync(join(cacheDir, partial, 'journal.json'), 10), false],
  ];
  for (const [name, change, isGoneOn] of cases) {
    const cacheDir = join(folder, name.replaceAll(' ', '-'));
    const partial = await begin(cacheDir, inputs);
    const { tokens } = JSON.parse(readFileSync(join(cacheDir, partial, 'journal.json'), 'utf8')) as { tokens: number };
    t.ok(tokens > 0);
    change(cacheDir, partial);
    const seen: CorpusProgress[] = [];
    await finish({ inputs, tokenizer, cacheDir, workers: 0, onProgress: (state) => seen.push(state) });
    t.equal(firstTokens(seen) === tokens, isGoneOn, name);
    t.strictSame(cached(cacheDir), { entries: expected, partial: [] }, name);
  }
});

t.test('what a living process works on is left to it; what nobody came back to goes', async (t) => {
  const folder = t.testdir(files);
  const inputs = [join(folder, 'a.jsonl'), join(folder, 'c.txt')];
  const cacheDir = join(folder, 'cache');
  const partial = await begin(cacheDir, inputs);
  const living = partial.replace('-free-0-', `-${hostname()}-${process.pid}-`);
  renameSync(join(cacheDir, partial), join(cacheDir, living));
  const isOld = (seconds: number) => {
    const then = Date.now() / 1000 - seconds;
    utimesSync(join(cacheDir, living), then, then);
  };
  isOld(60); // of a thread that has ended: nobody renews it
  await finish({ inputs, tokenizer, cacheDir });
  t.strictSame(cached(cacheDir).partial, [living]);
  isOld(31 * 24 * 3600);
  await finish({ inputs, tokenizer, cacheDir });
  t.strictSame(cached(cacheDir).partial, []);
});

t.test('text that another process or thread prepares is waited for', async (t) => {
  const folder = t.testdir(files);
  const inputs = [join(folder, 'a.jsonl'), join(folder, 'c.txt')];
  const straight = join(folder, 'straight');
  await finish({ inputs, tokenizer, cacheDir: straight });
  const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)'], { stdio: 'ignore' });
  t.teardown(() => other.kill('SIGKILL'));
  for (const { name, pid } of [
    { name: 'process', pid: other.pid },
    { name: 'thread', pid: process.pid },
  ]) {
    const cacheDir = join(folder, name);
    const partial = await begin(cacheDir, inputs);
    const key = partial.split('-')[1]!;
    const theirs = join(cacheDir, partial.replace('-free-0-', `-${hostname()}-${pid}-`));
    renameSync(join(cacheDir, partial), theirs);
    let waited = false;
    const second = await finish({
      inputs,
      tokenizer,
      cacheDir,
      onProgress({ phase }) {
        if (waited || phase !== 'wait for another process') return;
        waited = true;
        rmSync(theirs, { recursive: true });
        cpSync(join(straight, key), join(cacheDir, key), { recursive: true }); // the other one is done
      },
    });
    t.ok(waited, name);
    t.ok(second.stats.cached, name);
    t.strictSame(cached(cacheDir), cached(straight), name);
  }
});
