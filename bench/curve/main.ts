/**
 * npm run bench:curve: the same training run on two devices, by default the CPU and the first GPU. Weights, batches, depths
 * and dropout masks are the same; sums are added in other orders, so that the runs drift apart as two seeds of rounding
 * do, but their losses must stay together. Writes JSON and a picture; exits 1 where the curves part.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, Option } from 'commander';
import {
  createMethod,
  createModel,
  type DeviceOptions,
  type MethodName,
  openDevice,
  prepareCorpus,
  preset,
  train,
  trainingCorpus,
} from '../../lib/index.js';
import { renderSvg } from '../../lib/report/svg.js';

const command = new Command('bench:curve')
  .description('Trains the same model on two devices and compares the losses along the way.')
  .addOption(new Option('--devices <kinds...>', 'two of them').choices(['cpu', 'cuda']).default(['cpu', 'cuda']))
  .option('--model <preset>', 'model preset', 'gpt-nano')
  .option('--method <name>', 'training method', 'apollo')
  .option('--steps <n>', 'optimizer steps', Number, 2000)
  .option('--batch <n>', 'sequences per step', Number, 8)
  .addOption(new Option('--precision <kind>', 'of matrix products').choices(['f32', 'bf16']).default('bf16'))
  .option('--window <n>', 'steps whose mean losses are compared', Number, 50)
  .option('--tolerance <nats>', 'greatest allowed difference of those means', Number, 0.05)
  .option('--cache <folder>', 'where the prepared corpus is kept', '.cache/apollo-lm')
  .option('--out <folder>', 'where results are written', 'bench/results')
  .option('--tiny', 'a small model, to see that the bench works (also on the emulator)')
  .parse();
const o = command.opts<{
  devices: ('cpu' | 'cuda')[];
  model: string;
  method: MethodName;
  steps: number;
  batch: number;
  precision: 'f32' | 'bf16';
  window: number;
  tolerance: number;
  cache: string;
  out: string;
  tiny?: boolean;
}>();

interface Run {
  readonly device: string;
  readonly losses: number[];
  readonly heldOut: { step: number; loss: number }[];
  seconds: number;
}

const tiny = { layers: 2, hidden: 64, heads: 1, ffn: 256, vocabSize: 512, maxPositions: 32 } as const;
const config = preset(o.model, o.tiny ? tiny : {});
const { kind, vocabSize, maxPositions: seq } = config;
const corpus = await prepareCorpus({
  inputs: [fileURLToPath(new URL('../../data/sample', import.meta.url))],
  tokenizer: { train: kind === 'gpt' ? 'bpe' : 'wordpiece', vocabSize },
  cacheDir: o.cache,
});

async function run(options: DeviceOptions): Promise<Run> {
  const device = await openDevice(options);
  const { name, kind: where } = device.info();
  const result: Run = { device: where === 'cpu' ? `CPU (${name})` : name, losses: [], heldOut: [], seconds: 0 };
  const method = createMethod(o.method, { layers: config.layers, totalSteps: o.steps, seed: 1 });
  const deps = { device, model: createModel(config), method, corpus: trainingCorpus(corpus) };
  const settings = {
    steps: o.steps,
    batch: o.batch,
    seq,
    precision: o.precision,
    evaluateEvery: Math.ceil(o.steps / 8),
  };
  for await (const event of train(settings, deps)) {
    if (event.type === 'evaluation') result.heldOut.push({ step: event.step, loss: event.lossFull });
    if (event.type !== 'step') continue;
    result.losses.push(event.loss);
    result.seconds += event.ms / 1e3;
    if (event.step % Math.ceil(o.steps / 10) === 0) {
      console.log(
        `  ${result.device}: step ${event.step}, loss ${event.loss.toFixed(3)}, ${result.seconds.toFixed(0)} s`,
      );
    }
  }
  await device.close();
  return result;
}

/** Means of `losses` over windows of steps; a last, shorter window is left out unless it is the only one. */
function smoothed(losses: readonly number[]): number[] {
  const means: number[] = [];
  const window = Math.min(o.window, losses.length);
  for (let begin = 0; begin + window <= losses.length; begin += window) {
    means.push(losses.slice(begin, begin + window).reduce((a, b) => a + b, 0) / window);
  }
  return means;
}

console.log(
  `${o.model}, ${o.method}, ${o.precision}, ${o.steps} steps of ${o.batch} x ${seq} tokens of the sample text`,
);
const runs: Run[] = [];
for (const device of o.devices) runs.push(await run({ kind: device }));
await corpus.close();
const [first, second] = runs as [Run, Run];
const curves = runs.map(({ losses }) => smoothed(losses));
const differences = curves[0]!.map((loss, i) => Math.abs(loss - curves[1]![i]!));
const worst = Math.max(...differences);
const agree = worst <= o.tolerance;
const sameStart = Math.abs(first.losses[0]! - second.losses[0]!);

for (const { device, losses, heldOut, seconds } of runs) {
  const curve = smoothed(losses);
  console.log(
    `${device}: ${seconds.toFixed(1)} s; loss ${losses[0]!.toFixed(4)} at the first step, ` +
      `${curve.at(-1)!.toFixed(4)} at the end; held out ${heldOut.map(({ loss }) => loss.toFixed(3)).join(' ')}`,
  );
}
console.log(
  `difference of the losses: ${sameStart.toExponential(1)} at the first step, at most ${worst.toFixed(4)} in means of ` +
    `${o.window} steps (allowed: ${o.tolerance}): ${agree ? 'the curves agree' : 'THE CURVES PART'}`,
);

const chart = {
  animation: false,
  backgroundColor: '#ffffff',
  textStyle: { fontFamily: 'Helvetica, Arial, sans-serif', fontSize: 12 },
  title: { text: `${o.model}, ${o.method}, ${o.precision}: training loss, means of ${o.window} steps`, left: 'center' },
  legend: { top: 32, data: runs.map(({ device }) => device) },
  grid: { left: 60, right: 24, top: 72, bottom: 50 },
  xAxis: { type: 'value', name: 'step', nameLocation: 'middle', nameGap: 28, max: o.steps },
  yAxis: { type: 'value', name: 'loss (nats)', scale: true },
  series: runs.map(({ device }, i) => ({
    type: 'line',
    name: device,
    showSymbol: false,
    lineStyle: { width: i === 0 ? 4 : 1.5, color: i === 0 ? '#9ecae1' : '#d55e00' },
    itemStyle: { color: i === 0 ? '#9ecae1' : '#d55e00' },
    data: curves[i]!.map((loss, window) => [(window + 1) * o.window, Number(loss.toFixed(5))]),
  })),
};
mkdirSync(o.out, { recursive: true });
const file = join(o.out, `curve-${o.model}_${o.devices.join('-')}_${new Date().toISOString().slice(0, 10)}`);
const { window, tolerance, model, method, steps, batch, precision } = o;
const result = { model, method, precision, steps, batch, seq, window, tolerance, worst, agree, runs };
writeFileSync(`${file}.json`, `${JSON.stringify(result)}\n`);
writeFileSync(`${file}.svg`, await renderSvg(chart));
console.log(`${file}.json, ${file}.svg`);
process.exitCode = agree ? 0 : 1;
