/**
 * npm run bench:gpu: all that is claimed about a GPU, in one command of a few minutes: kernels next to the device's limits,
 * and a training step of GPT-2 124M (1,024 positions) and BERT-Base (512) at the best batch against PyTorch (eager,
 * compiled) and the Hugging Face classes, taking turns. Writes JSON, a table and a picture.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { type Device, matmulPeak, openDevice } from '../../lib/engine/index.js';
import { type ModelConfig, preset } from '../../lib/models/index.js';
import { renderSvg } from '../../lib/report/svg.js';
import { kernelTable, measureKernels } from '../ops/kernels.js';
import { spread } from '../statistics.js';
import { compareStep, describeStep, type StepComparison } from '../step/compare.js';
import { findPeerPython } from '../step/peer.js';
import { StepBench } from '../step/training-step.js';

const command = new Command('bench:gpu')
  .description('Times kernels and training steps on a GPU against its limits and against PyTorch.')
  .option('--out <folder>', 'where results are written', 'bench/results')
  .option('--minutes <n>', 'no peer is started when less than two of these minutes are left', Number, 9)
  .option('--steps <n>', 'timed steps against each peer', Number, 20)
  .option('--no-peer', 'without PyTorch')
  .option('--tiny', 'small models and few runs, to see that the bench works (also on the emulator)')
  .parse();
const o = command.opts<{ out: string; minutes: number; steps: number; peer: boolean; tiny?: boolean }>();
const deadline = performance.now() + (o.minutes - 2) * 60e3;

interface Case {
  readonly name: string;
  readonly config: ModelConfig;
  readonly batches: readonly number[];
}

const tiny = { layers: 2, hidden: 64, heads: 1, ffn: 256, vocabSize: 512, maxPositions: 32 } as const;
const cases: readonly Case[] = o.tiny
  ? [
      { name: 'tiny GPT', config: preset('gpt-nano', tiny), batches: [1, 2] },
      { name: 'tiny BERT', config: preset('bert-nano', tiny), batches: [2] },
    ]
  : [
      { name: 'GPT-2 124M, 1,024 positions', config: preset('gpt-base'), batches: [128, 64, 32, 16] },
      { name: 'BERT-Base, 512 positions', config: preset('bert-base'), batches: [256, 128, 64, 32] },
    ];

/** The batch with most tokens/s among those that fit. */
async function bestBatch(device: Device, { config, batches }: Case): Promise<number> {
  const rates: { batch: number; rate: number }[] = [];
  const bench = await StepBench.create(device, config, 'bf16');
  for (const batch of batches) {
    try {
      const step = await bench.step({ batch, seq: config.maxPositions, precision: 'bf16', depth: config.layers });
      const times: number[] = [];
      for (let i = -3; i < 4; i++) {
        const { wallMs } = await step.run();
        if (i >= 0) times.push(wallMs);
      }
      step.dispose();
      rates.push({ batch, rate: (batch * config.maxPositions * 1e3) / spread(times).median });
    } catch (error) {
      if ((error as { code?: string }).code !== 'OUT_OF_MEMORY') throw error;
    }
  }
  bench.dispose();
  console.log(rates.map(({ batch, rate }) => `  batch ${batch}: ${rate.toFixed(0)} tokens/s`).join('\n'));
  const best = rates.sort((a, b) => b.rate - a.rate)[0];
  if (!best) throw new Error(`no batch of ${batches.join(', ')} fits this GPU`);
  return best.batch;
}

function chart(results: readonly { readonly name: string; readonly step: StepComparison }[]) {
  const software = ['apollo-lm', ...new Set(results.flatMap(({ step }) => step.peers.map(({ name }) => name)))];
  const rate = (step: StepComparison, name: string) =>
    name === 'apollo-lm' ? step.tokensPerSecond : step.peers.find((peer) => peer.name === name)?.tokensPerSecond;
  return {
    animation: false,
    backgroundColor: '#ffffff',
    textStyle: { fontFamily: 'Helvetica, Arial, sans-serif', fontSize: 12 },
    title: {
      text: `Training step on one ${results[0]!.step.device}, bf16`,
      subtext: 'apollo-lm at its fastest batch, the others at the largest that fits',
      left: 'center',
    },
    legend: { top: 48, data: software },
    grid: { left: 80, right: 24, top: 88, bottom: 40 },
    xAxis: { type: 'category', data: results.map(({ name }) => name) },
    yAxis: { type: 'value', name: 'thousand tokens/s' },
    series: software.map((name) => ({
      type: 'bar',
      name,
      data: results.map(({ step }) => {
        const value = rate(step, name);
        return value === undefined ? null : Number((value / 1e3).toFixed(1));
      }),
      label: { show: true, position: 'top' },
    })),
  };
}

const device = await openDevice({ kind: 'cuda' });
const { name: gpu, totalBytes } = device.info();
console.log(`${gpu}, ${(totalBytes / 2 ** 30).toFixed(0)} GiB for the engine\n`);
const peak = await matmulPeak(device, 'bf16', o.tiny ? [[256, 64, 64]] : undefined);
console.log(`matmul peak bf16 ${(peak.flopsPerSecond / 1e12).toFixed(0)} TFLOP/s at ${peak.shape.join('x')}`);
const kernels = o.tiny ? undefined : await measureKernels(device, { runs: 9, dtype: 'bf16' });
if (kernels) {
  console.log(`copy ${(kernels.copyBytesPerSecond / 1e9).toFixed(0)} GB/s\n\n${kernelTable(kernels.results)}\n`);
}

const python = o.peer ? findPeerPython() : undefined;
const results: { name: string; step: StepComparison }[] = [];
for (const each of cases) {
  console.log(`\n${each.name}`);
  const batch = await bestBatch(device, each);
  const { maxPositions: seq, layers } = each.config;
  const step = await compareStep({
    device,
    config: each.config,
    seq,
    batch,
    precision: 'bf16',
    steps: o.tiny ? 2 : o.steps,
    rounds: o.tiny ? 1 : 5,
    python,
    peers: ['compile', 'eager', 'huggingface'],
    peerBatches: each.batches,
    depths: o.tiny ? [1, 2] : [1, 2, 3, 4, 6, 8, 10, layers],
    byShape: true,
    peak,
    deadline,
    say: console.log,
  });
  console.log(describeStep(step));
  results.push({ name: each.name, step });
}
await device.close();

mkdirSync(o.out, { recursive: true });
const slug = gpu.toLowerCase().replace(/[^a-z0-9]+/g, '-');
const file = join(o.out, `gpu_${slug}_${new Date().toISOString().slice(0, 10)}`);
writeFileSync(`${file}.json`, `${JSON.stringify({ gpu, peak, kernels, steps: results }, null, 2)}\n`);
writeFileSync(`${file}.svg`, await renderSvg(chart(results)));
console.log(`\n${file}.json, ${file}.svg`);
