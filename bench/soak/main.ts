/**
 * npm run bench:soak: what a long run does to the process it lives in. Trains on the sample text through the public
 * loop and prints the event loop's delay, the resident memory along the way, and the share of time within steps.
 */
import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import {
  createMethod,
  createModel,
  openDevice,
  prepareCorpus,
  preset,
  train,
  trainingCorpus,
} from '../../lib/index.js';
import { linearFit, spread } from '../statistics.js';

const command = new Command('bench:soak')
  .description('Trains for a while and prints event-loop delay and resident memory.')
  .option('--steps <n>', 'optimizer steps', Number, 2000)
  .option('--model <preset>', 'model preset', 'gpt-nano')
  .option('--batch <n>', 'sequences per step', Number, 8)
  .option('--method <name>', 'training method', 'apollo')
  .option('--threads <n>', 'threads (default: all processors)', Number)
  .option('--cache <folder>', 'where the prepared corpus is kept', '.cache/apollo-lm')
  .option('--out <file>', 'also write JSON to a file')
  .parse();
const o = command.opts();

const model = createModel(preset(o.model));
const { kind, vocabSize, maxPositions: seq } = model.config;
const corpus = await prepareCorpus({
  inputs: [fileURLToPath(new URL('../../data/sample', import.meta.url))],
  tokenizer: { train: kind === 'gpt' ? 'bpe' : 'wordpiece', vocabSize },
  cacheDir: o.cache,
});
const device = await openDevice(o.threads ? { threads: o.threads } : {});
const method = createMethod(o.method, { layers: model.config.layers, totalSteps: o.steps, seed: 1 });
const deps = { device, model, method, corpus: trainingCorpus(corpus) };

const delay = monitorEventLoopDelay({ resolution: 1 });
const rss: { step: number; bytes: number }[] = [];
const every = Math.max(1, Math.floor(o.steps / 20));
let inSteps = 0;
let started = 0;
for await (const event of train({ steps: o.steps, batch: o.batch, seq, precision: 'bf16', evaluateEvery: 0 }, deps)) {
  if (event.type !== 'step') continue;
  if (event.step === every) {
    delay.enable(); // after compilation of the first stage's programs
    started = performance.now();
  }
  if (event.step > every) inSteps += event.ms;
  if (event.step % every === 0) rss.push({ step: event.step, bytes: process.memoryUsage.rss() });
}
const wall = performance.now() - started;
delay.disable();
await device.close();
await corpus.close();

// All stages' programs exist after the last growth, at a quarter of the run; from there on memory must be level.
const settled = rss.filter(({ step }) => step > o.steps * 0.3);
const fit = linearFit(
  settled.map(({ step }) => step),
  settled.map(({ bytes }) => bytes),
);
const { min, max } = spread(settled.map(({ bytes }) => bytes));
const result = {
  model: o.model,
  method: o.method,
  steps: o.steps,
  batch: o.batch,
  eventLoopDelayMs: { p50: delay.percentile(50) / 1e6, p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 },
  rssBytes: rss,
  settledRss: { min, max, bytesPer1000Steps: fit.slope * 1000 },
  stepShareOfWall: inSteps / wall,
};
const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
console.log(`${o.model}, ${o.method}, ${o.steps} steps of ${o.batch} x ${seq} tokens in ${(wall / 1e3).toFixed(0)} s`);
console.log(
  `event-loop delay: median ${result.eventLoopDelayMs.p50.toFixed(2)} ms, p99 ${result.eventLoopDelayMs.p99.toFixed(2)} ms, ` +
    `max ${result.eventLoopDelayMs.max.toFixed(2)} ms`,
);
console.log(`resident memory, MiB: ${rss.map(({ step, bytes }) => `${step}: ${mib(bytes)}`).join('  ')}`);
console.log(
  `after the last growth: ${mib(min)} to ${mib(max)} MiB, ${fit.slope >= 0 ? '+' : ''}${mib(fit.slope * 1000)} MiB per 1,000 steps`,
);
console.log(`${(100 * result.stepShareOfWall).toFixed(1)} % of the time within steps`);
if (o.out) writeFileSync(o.out, `${JSON.stringify(result, null, 2)}\n`);
