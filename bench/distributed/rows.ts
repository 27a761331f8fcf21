/** Run by main.ts: `rows.ts TASK`. Writes the rows that ranks train on and the held-out ones, for a peer that reads the same. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { prepareCorpus } from '../../lib/data/index.js';
import { preset } from '../../lib/models/index.js';
import { rateOfStep, resolveConfig } from '../../lib/train/config.js';
import { trainingCorpus } from '../../lib/train/text-corpus.js';

export interface RowsTask {
  readonly data: readonly string[];
  readonly cache: string;
  readonly model: string;
  readonly batch: number;
  readonly seq: number;
  readonly steps: number;
  readonly ranks: number;
  readonly learningRate: number;
  /** As `apollo-lm train` has them by default. */
  readonly seed: number;
  readonly heldOut: number;
  readonly evaluationBatches: number;
  readonly file: string;
}

const task = JSON.parse(process.argv[2]!) as RowsTask;
const { batch, seq, steps, ranks, seed, learningRate } = task;
const { layers, hidden, heads, ffn, vocabSize, dropout } = preset(task.model);
const corpus = await prepareCorpus({
  inputs: task.data,
  tokenizer: { train: 'bpe', vocabSize },
  cacheDir: task.cache,
  heldOut: task.heldOut,
});
const rows = trainingCorpus(corpus, { evaluationBatches: task.evaluationBatches });
const size = { batch, seq, objective: 'causal' } as const;
const file = openSync(task.file, 'w');
const write = ({ tokens, labels }: Readonly<Record<string, Int32Array | Float32Array>>) => {
  for (const values of [tokens!, labels!])
    writeSync(file, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
};
for (let step = 0; step < steps; step++) {
  for (let micro = 0; micro < ranks; micro++) {
    write(await rows.batch({ ...size, seed, step, micro, accumulation: ranks }));
  }
}
const heldOut = rows.heldOutCount(size);
for (let index = 0; index < heldOut; index++) write(await rows.heldOut({ ...size, index }));
closeSync(file);
const config = resolveConfig({ steps, batch, seq, learningRate });
const rates = Array.from({ length: steps }, (_, step) => rateOfStep(step, config));
const { weightDecay, maxNorm } = config;
const sizes = { layers, hidden, heads, ffn, vocab_size: vocabSize, dropout };
console.log(JSON.stringify({ ...sizes, heldOut, rates, weightDecay, maxNorm }));
await corpus.close();
