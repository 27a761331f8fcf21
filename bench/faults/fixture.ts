/** A tiny text and settings with which every command of the programme ends in a second or two. */
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const words = ['the', 'cat', 'sees', 'a', 'dog', 'and', 'runs', 'home', 'over', 'hills', 'below', 'a', 'red', 'sun'];

/** Sentences that repeat little; a function of `seed`. */
export function text(sentences: number, seed = 1): string {
  let state = seed;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const sentence = () =>
    Array.from({ length: 5 + Math.floor(next() * 9) }, () => words[Math.floor(next() * words.length)]);
  return Array.from({ length: sentences }, () => `${sentence().join(' ')}.`).join('\n');
}

/** Writes `settings.json` and its text into `folder`; returns its path. */
export function writeSettings(folder: string, changes: Readonly<Record<string, unknown>> = {}): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'text.txt'), text(4000));
  const settings = {
    model: { preset: 'gpt-nano', layers: 4, hidden: 32, heads: 2, ffn: 64, maxPositions: 16, dropout: 0.1 },
    data: 'text.txt',
    method: 'apollo',
    methods: ['scratch', 'apollo'],
    vocabSize: 300,
    heldOut: 0.1,
    cache: join(folder, 'cache'),
    steps: 40,
    batch: 2,
    evaluateEvery: 10,
    evaluationBatches: 2,
    checkpointEvery: 3,
    precision: 'f32',
    threads: 1,
    ...changes,
  };
  const path = join(folder, 'settings.json');
  writeFileSync(path, JSON.stringify(settings));
  return path;
}

/** Writes a small SST-2 in its official layout below `folder`: the label is whether a sentence has a cat. */
export function writeTask(folder: string): void {
  const base = join(folder, 'SST-2');
  mkdirSync(base, { recursive: true });
  const sentences = text(96, 7).split('\n');
  const rows = sentences.map((sentence) => `${sentence}\t${sentence.includes('cat') ? 1 : 0}`);
  for (const [name, part] of Object.entries({ train: rows.slice(0, 64), dev: rows.slice(64) })) {
    writeFileSync(join(base, `${name}.tsv`), `sentence\tlabel\n${part.join('\n')}\n`);
  }
}

/** Every file below a folder, sorted, relative to it. */
export function filesOf(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(folder, name)).isFile())
    .sort();
}

/** The digest of files by name and content. Of no file: one that is equal to no other, so that two empty folders are not a right result. */
export function digestOf(folder: string, names: readonly string[]): string {
  if (names.length === 0) return `no file ${randomUUID()}`;
  const hash = createHash('sha256');
  for (const name of names)
    hash
      .update(`${name}\0`)
      .update(readFileSync(join(folder, name)))
      .update('\0');
  return hash.digest('hex');
}

/** Names below a folder that only a process that died leaves: temporary files and folders of whole-or-nothing writes. */
export function leftOvers(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.split('/').some((part) => /^\.(writing|removed|replaced|begun|tmp)-|\.(part|tmp|writing)$/.test(part)),
  );
}
