/** Folders that this package writes are known and passed over; what is the user's next to and below them is read. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import t from 'tap';
import { findFiles } from '../../../lib/data/read/files.js';
import { failure } from '../support.js';

const settings = JSON.stringify({ model: 'gpt-nano', methodOptions: {}, heldOut: 0.01, evaluationBatches: 8 });
const started = `${JSON.stringify({ type: 'start', method: 'apollo', seed: 42, step: 0, steps: 8 })}\n`;
const state = JSON.stringify({ formatVersion: 1, step: 8, identity: {}, layerMap: [0] });

/** Each kind as a folder, with text of the user's in it. */
const outputs: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'a run': {
    'settings.json': settings,
    'metrics.jsonl': started,
    'tokenizer.json': '{}',
    'checkpoints/step-00000008/state.json': state,
    'checkpoints/step-00000008/model.safetensors': 'x',
  },
  'a run and results': {
    'settings.json': settings,
    'results.json': '{"format":"apollo-lm/results/1"}',
    'table.md': '|',
    'scratch-42/metrics.jsonl': started,
    'scratch-42/step-00000008/state.json': state,
  },
  results: {
    'results.json': '{"format":"apollo-lm/finetune/1"}',
    'pre-trained/seed-42/history.json': '{"formatVersion":1,"identity":{},"epochs":[]}',
    'pre-trained/seed-42/model/finetuned.json': '{}',
    'pre-trained/seed-42/model/vocab.txt': 'x',
  },
  'a model': {
    'config.json': '{"model_type":"gpt2"}',
    'model.safetensors': 'x',
    'vocab.txt': '[PAD]',
    'vocab.json': '{}',
    'merges.txt': '#version: 0.2',
    'tokenizer_config.json': '{}',
    'special_tokens_map.json': '{}',
  },
  'a tokenizer': { 'vocab.json': '{}', 'merges.txt': '#version: 0.2' },
  'a cache of prepared text': {
    'digests.json': '{}',
    '0123456789abcdef0123456789abcdef/tokens.bin': 'x',
    '0123456789abcdef0123456789abcdef/about.json': '{}',
    'tokenizer-0123456789abcdef0123456789abcdef/tokenizer.json': '{}',
  },
};

function write(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
}

for (const [what, files] of Object.entries(outputs)) {
  t.test(`${what} is passed over, below a folder and as the folder`, async (t) => {
    const folder = t.testdir({ 'mine.txt': 'mine' });
    const out = join(folder, 'out');
    write(out, files);
    for (const format of ['auto', 'jsonl', 'text']) {
      const notes: string[] = [];
      const input = format === 'jsonl' ? { 'mine.jsonl': '{"text":"a"}' } : {};
      write(folder, input);
      const names = findFiles([folder], format, (note) => notes.push(note)).map(({ path }) => relative(folder, path));
      t.strictSame(
        names.filter((name) => name.startsWith('out')),
        [],
        format,
      );
      t.match(notes[0], /are skipped: /);
      t.match(notes[0], `out (${what})`);
    }
    t.match(await failure(() => findFiles([out])), /holds no text: .* are skipped: .*out \(/);
    write(out, { 'notes.txt': 'mine', 'below/more.txt': 'mine' });
    t.strictSame(
      findFiles([out]).map(({ path }) => relative(out, path)),
      ['below/more.txt', 'notes.txt'],
      "the user's files are read",
    );
    t.strictSame(findFiles([join(folder, '**/*.txt')]).length, 3, 'and patterns pass over the rest, too');
  });
}

t.test('files of the same names that are not ours are text', async (t) => {
  const folder = t.testdir({
    'metrics.jsonl': '{"text":"a"}\n',
    'settings.json': '{"theme":"dark"}',
    'results.json': '[]',
    'vocab.txt': 'words',
    sub: { 'vocab.txt': 'words' },
  });
  const notes: string[] = [];
  const names = findFiles([folder], 'auto', (note) => notes.push(note)).map(({ path }) => relative(folder, path));
  t.strictSame(names, ['metrics.jsonl', 'sub/vocab.txt', 'vocab.txt']);
  t.strictSame(notes, []);
});

t.test('a file of ours that is named is taken', async (t) => {
  const folder = t.testdir({ 'metrics.jsonl': started });
  t.equal(findFiles([join(folder, 'metrics.jsonl')]).length, 1);
});
