/**
 * Damaged files: each kind of file that the package reads, changed at random, read in a child process. It gives its
 * content or one ApolloError; nothing else, and the process lives.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { type CorpusOptions, prepareCorpus } from '../../lib/data/index.js';
import { uniformNumber } from '../../lib/growth/index.js';
import { complaint, node } from './child.js';
import { filesOf, text, writeSettings } from './fixture.js';
import { count, type Outcome, type Part, type Programme, type Tally, tally } from './outcome.js';

/** Files of a batch, read by one child. */
const batch = 250;
const script = fileURLToPath(new URL('./read-files.ts', import.meta.url));

/** A valid file, and how the child reads it. */
interface Original {
  readonly name: string;
  readonly reader: 'model' | 'corpus' | 'cache' | 'checkpoint' | 'tokenizer';
  /** Folder whose other files go next to the damaged one; of a cache, with its text and `.cache`. */
  readonly folder: string;
  readonly file: string;
}

export const files: Part = {
  name: 'files',
  about:
    'random damage to models, configurations, tokenizers, checkpoints, caches and text in every format and packing',
  size: 1000,
  unit: 'files',
  async run(programme, size) {
    const originals = await make(programme);
    const rows: Tally[] = [];
    for (const [stream, original] of originals.entries()) {
      rows.push(await damaged(programme, original, stream, Math.ceil(size / originals.length)));
    }
    return rows;
  },
};

/** Valid files of every kind, made by the package and by Node. */
async function make({ work, cli }: Programme): Promise<Original[]> {
  const base = join(work, 'files');
  const settings = writeSettings(base, { steps: 6 });
  const run = join(base, 'run');
  const model = join(base, 'model');
  for (const args of [
    ['train', '--config', settings, '--out', run],
    ['export', run, '--out', model],
  ]) {
    const ended = await node([cli, ...args]);
    if (ended.code !== 0) throw new Error(`${args[0]}: ${complaint(ended) ?? ended.stderr}`);
  }
  const plain = text(400);
  const lines = plain.split('\n');
  const corpora: Record<string, string | Uint8Array> = {
    'text.txt': plain,
    'text.txt.gz': gzipSync(plain),
    'text.jsonl': lines.map((line) => JSON.stringify({ text: line })).join('\n'),
    'text.csv': ['text,n', ...lines.map((line, i) => `"${line}",${i}`)].join('\n'),
    'text.tsv': ['text\tn', ...lines.map((line, i) => `${line}\t${i}`)].join('\n'),
    'wiki.txt': lines.map((line, i) => `<doc id="${i}" url="u" title="t">\nt\n\n${line}\n</doc>`).join('\n'),
  };
  const fixtures = fileURLToPath(new URL('../../test/fixtures', import.meta.url));
  for (const name of readdirSync(join(fixtures, 'corpora'))) {
    if (/\.(zst|parquet)$/.test(name)) corpora[name] = readFileSync(join(fixtures, 'corpora', name));
  }
  const originals: Original[] = [];
  for (const [name, content] of Object.entries(corpora)) {
    const folder = join(base, `corpus-${name}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, name), content);
    originals.push({ name, reader: 'corpus', folder, file: name });
  }
  for (const file of ['model.safetensors', 'config.json', 'tokenizer.json']) {
    originals.push({ name: `exported ${file}`, reader: 'model', folder: model, file });
  }
  const published = join(fixtures, 'published', 'sst2');
  for (const file of ['vocab.txt', 'tokenizer_config.json']) {
    originals.push({ name: `a published model's ${file}`, reader: 'tokenizer', folder: published, file });
  }
  const prepared = await cached(base, plain);
  for (const file of filesOf(join(prepared, '.cache'))) {
    const name = `cache: ${basename(file)}`;
    originals.push({ name, reader: 'cache', folder: prepared, file: join('.cache', file) });
  }
  originals.push({ name: 'tokenizer.json alone', reader: 'tokenizer', folder: model, file: 'tokenizer.json' });
  const checkpoint = join(run, 'checkpoints', 'step-00000006');
  for (const file of ['model.safetensors', 'optimizer.safetensors', 'state.json']) {
    originals.push({ name: `checkpoint ${file}`, reader: 'checkpoint', folder: checkpoint, file });
  }
  return originals;
}

/** A folder with a text and what prepareCorpus keeps of it. */
async function cached(base: string, plain: string): Promise<string> {
  const folder = join(base, 'prepared');
  mkdirSync(folder);
  writeFileSync(join(folder, 'text.txt'), plain);
  const corpus = await prepareCorpus(cachedCorpus(folder));
  corpus.close();
  return folder;
}

/** The options for such a folder. */
export const cachedCorpus = (folder: string): CorpusOptions => ({
  inputs: [join(folder, 'text.txt')],
  tokenizer: { train: 'bpe', vocabSize: 280 },
  cacheDir: join(folder, '.cache'),
  heldOut: 0.1,
});

async function damaged(programme: Programme, original: Original, stream: number, size: number): Promise<Tally> {
  const { work, seed, signal, say } = programme;
  const row = tally('files', `damage to ${original.name}`);
  const bytes = readFileSync(join(original.folder, original.file));
  for (let first = 0; first < size && !(signal.aborted && (first > 0 || stream > 0)); first += batch) {
    const amount = Math.min(batch, size - first);
    const folder = join(work, 'files', `damaged-${stream}`);
    mkdirSync(folder, { recursive: true });
    const notes: string[] = [];
    for (let i = 0; i < amount; i++) {
      const { content, note } = damage(bytes, (draw) => uniformNumber(seed, 1000 + stream, 64 * (first + i) + draw));
      writeFileSync(join(folder, String(i)), content);
      notes.push(note);
    }
    const request = join(folder, 'request.json');
    writeFileSync(request, JSON.stringify({ ...original, folder: original.folder, damaged: folder, amount }));
    const ended = await node([...process.execArgv, script, request], { timeoutMs: 600e3 });
    const results = ended.stdout
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as { index: number; outcome: Exclude<Outcome, 'left'>; message?: string });
    const undamaged = results.shift();
    if (undamaged?.index === -1 && undamaged.outcome !== 'right')
      throw new Error(`${original.name} cannot be read undamaged: ${undamaged.message}`);
    for (const { index, outcome, message } of results) {
      count(row, outcome, `${original.name}, ${notes[index]}: ${message ?? ''}`);
    }
    if (results.length < amount) {
      const how = complaint(ended) ?? `code ${ended.code}: ${ended.stderr.slice(-300)}`;
      count(row, 'crash', `${original.name}, ${notes[results.length]}: the process ended (${how})`);
    }
  }
  say(`${original.name}: ${Object.values(row.counts).reduce((a, b) => a + b)} files`);
  return row;
}

/** One change at random; `random(i)` draws in [0, 1). */
export function damage(bytes: Uint8Array, random: (draw: number) => number): { content: Uint8Array; note: string } {
  const place = Math.floor(random(0) * bytes.length);
  const length = 1 + Math.floor(random(1) ** 3 * Math.min(4096, bytes.length - place));
  const copy = Buffer.from(bytes);
  switch (Math.floor(random(2) * 7)) {
    case 0:
      copy[place] = (copy[place] as number) ^ (1 << Math.floor(random(3) * 8));
      return { content: copy, note: `a flipped bit at ${place}` };
    case 1:
      return { content: copy.subarray(0, place), note: `cut at ${place}` };
    case 2:
      copy.fill(0, place, place + length);
      return { content: copy, note: `${length} zero bytes at ${place}` };
    case 3:
      for (let i = 0; i < length; i++) copy[place + i] = Math.floor(random(8 + (i % 50)) * 256);
      return { content: copy, note: `${length} random bytes at ${place}` };
    case 4:
      return {
        content: Buffer.concat([copy.subarray(0, place), copy.subarray(place + length)]),
        note: `${length} bytes missing at ${place}`,
      };
    case 5:
      return {
        content: Buffer.concat([copy.subarray(0, place + length), copy.subarray(place)]),
        note: `${length} bytes twice at ${place}`,
      };
    default: {
      // A digit or letter of the first kilobytes: lengths, shapes, names and settings.
      const head = Math.floor(random(4) * Math.min(2048, bytes.length));
      copy[head] = '0123456789-"{}[],nulE.'.charCodeAt(Math.floor(random(5) * 22));
      return { content: copy, note: `another letter at ${head}` };
    }
  }
}
