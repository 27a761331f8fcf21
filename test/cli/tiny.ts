/** A model and a text so small that the tests of commands can train it in a second. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Writes `tiny.json` and its text into `folder`; returns the path of the file for `--config`. */
export function tinyConfig(folder: string, changes: Readonly<Record<string, unknown>> = {}): string {
  const words = ['the', 'cat', 'sees', 'a', 'dog', 'and', 'runs', 'home', 'over', 'hills'];
  const text = Array.from({ length: 6000 }, (_, i) => words[(i * i + (i >> 3)) % words.length]).join(' ');
  writeFileSync(join(folder, 'text.txt'), text);
  const settings = {
    model: { preset: 'gpt-nano', layers: 2, hidden: 64, heads: 1, ffn: 64, maxPositions: 16, dropout: 0.1 },
    data: 'text.txt',
    method: 'apollo',
    methods: ['scratch', 'apollo'],
    vocabSize: 300,
    heldOut: 0.1,
    cache: join(folder, 'cache'),
    steps: 8,
    batch: 2,
    evaluateEvery: 2,
    evaluationBatches: 2,
    learningRate: 0.005,
    precision: 'f32',
    threads: 1,
    ...changes,
  };
  const path = join(folder, 'tiny.json');
  writeFileSync(path, JSON.stringify(settings));
  return path;
}
