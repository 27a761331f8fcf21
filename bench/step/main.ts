/**
 * npm run bench:step: one training step of BERT or GPT-2, here and in PyTorch, taking turns in one run. Prints tokens/s,
 * the share of the measured matmul peak, peak memory and the time per depth.
 */
import { writeFileSync } from 'node:fs';
import { Command } from 'commander';
import { loadAddon, matmulPeak, openDevice } from '../../lib/engine/index.js';
import { preset } from '../../lib/models/index.js';
import { linearFit, spread } from '../statistics.js';
import { findPeerPython, Peer } from './peer.js';
import { StepBench } from './training-step.js';

const whole = (text: string) => {
  if (!/^[1-9]\d*$/.test(text)) throw new Error(`expected a positive whole number, got "${text}"`);
  return Number(text);
};

const command = new Command('bench:step')
  .description('Times one training step against PyTorch and against the matmul peak of this machine.')
  .option('--model <kind>', 'bert or gpt', 'gpt')
  .option('--layers <n>', 'layers', whole, 12)
  .option('--hidden <n>', 'hidden size', whole, 256)
  .option('--heads <n>', 'attention heads', whole, 4)
  .option('--seq <n>', 'tokens per sequence', whole, 128)
  .option('--batch <n>', 'sequences per step', whole, 16)
  .option('--vocab <n>', 'vocabulary', whole, 8192)
  .option('--precision <p>', 'f32 or bf16', 'bf16')
  .option('--device <kind>', 'device', 'cpu')
  .option('--threads <n>', 'threads (default: all processors)', whole)
  .option('--steps <n>', 'timed steps, in 5 rounds', whole, 20)
  .option('--by-shape', 'profile by op and operands')
  .option('--no-peer', 'without PyTorch')
  .option('--no-depths', 'without the time per depth')
  .option('--json', 'print JSON only')
  .option('--out <file>', 'also write the JSON to a file')
  .parse();

const o = command.opts();
const say = (text: string) => (o.json ? undefined : console.log(text));
const rounds = 5;
const perRound = Math.max(1, Math.round(o.steps / rounds));
const layers = o.layers as number;

const device = await openDevice({ kind: o.device, ...(o.threads ? { threads: o.threads } : {}) });
const { threads } = device.info();
const peak = await matmulPeak(device, o.precision);
const config = preset(o.model === 'bert' ? 'bert-nano' : 'gpt-nano', {
  layers,
  hidden: o.hidden,
  heads: o.heads,
  ffn: 4 * o.hidden,
  vocab: o.vocab,
  maxPositions: o.seq,
});
const bench = await StepBench.create(device, config, o.precision);
const shape = { batch: o.batch as number, seq: o.seq as number, precision: o.precision as 'f32' | 'bf16' };
const step = await bench.step({ ...shape, depth: layers });
say(
  `${loadAddon().info().cpuName}, ${threads} threads, oneDNN ${loadAddon().info().oneDnn} (${loadAddon().info().oneDnnIsa})`,
);
say(`matmul peak ${o.precision}: ${(peak.flopsPerSecond / 1e9).toFixed(0)} GFLOP/s at ${peak.shape.join('x')}`);

// Profiled before any peer is there to disturb it.
for (let i = 0; i < 3; ++i) await step.run();
const profile = await step.profile(Boolean(o.byShape));

const peers: { peer: Peer; times: number[] }[] = [];
const python = o.peer ? findPeerPython() : undefined;
if (o.peer && !python)
  say('No Python with torch found: no peer (set APOLLO_PEER_PYTHON to an interpreter that has it).');
if (python) {
  const flags = ['model', 'layers', 'hidden', 'heads', 'vocab', 'seq', 'batch', 'precision', 'device'].flatMap(
    (name) => [`--${name}`, String(o[name])],
  );
  for (const [name, extra] of [
    ['torch eager', []],
    ['torch compile', ['--compile']],
  ] as const) {
    peers.push({ peer: Peer.start(name, python, [...flags, '--threads', String(threads), ...extra]), times: [] });
  }
}

// Warm-up, then rounds in which everybody takes a turn: the machine's moods hit all alike.
const times: number[] = [];
let jsMs = 0;
for (let i = 0; i < 3; ++i) await step.run();
const alive: typeof peers = [];
for (const entry of peers) {
  try {
    await entry.peer.run(3);
    alive.push(entry);
  } catch (error) {
    say(`${entry.peer.name}: left out (${(error as Error).message})`);
  }
}
for (let round = 0; round < rounds; ++round) {
  for (let i = 0; i < perRound; ++i) {
    const { wallMs, nativeMs } = await step.run();
    times.push(wallMs);
    jsMs += wallMs - nativeMs;
  }
  for (const { peer, times: theirs } of alive) theirs.push(...(await peer.run(perRound)));
}

const ours = spread(times);
const tokensPerSecond = (ms: number) => (step.tokens / ms) * 1e3;
const flopsPerSecond = step.flops / (ours.median * 1e-3);
const { arenaBytes, bufferBytes } = device.info();
const peakBytes = process.resourceUsage().maxRSS * 1024;
const result: Record<string, unknown> = {
  model: o.model,
  layers,
  hidden: o.hidden,
  heads: o.heads,
  seq: o.seq,
  batch: o.batch,
  vocab: o.vocab,
  precision: o.precision,
  device: o.device,
  machine: { ...loadAddon().info(), threads },
  tokensPerSecond: tokensPerSecond(ours.median),
  stepMs: ours,
  flopsExecuted: step.flops,
  utilisation: {
    share: flopsPerSecond / peak.flopsPerSecond,
    flopsPerSecond,
    peakFlopsPerSecond: peak.flopsPerSecond,
    peakShape: peak.shape,
  },
  jsShare: jsMs / times.reduce((a, b) => a + b, 0),
  peakBytes,
  plannedBytes: { arena: arenaBytes, buffers: bufferBytes },
};
say(
  `apollo-lm       ${tokensPerSecond(ours.median).toFixed(0).padStart(7)} tokens/s   step ${ours.median.toFixed(1)} ms ` +
    `(${ours.min.toFixed(1)} to ${ours.max.toFixed(1)})   ${(flopsPerSecond / 1e9).toFixed(0)} GFLOP/s = ` +
    `${((100 * flopsPerSecond) / peak.flopsPerSecond).toFixed(1)} % of peak   JavaScript ${(100 * (result.jsShare as number)).toFixed(1)} %`,
);
result.peers = await Promise.all(
  alive.map(async ({ peer, times: theirs }) => {
    const stats = spread(theirs);
    const { peakBytes, version } = await peer.end();
    const ratio = stats.median / ours.median;
    say(
      `${peer.name.padEnd(15)} ${tokensPerSecond(stats.median).toFixed(0).padStart(7)} tokens/s   step ${stats.median.toFixed(1)} ms ` +
        `(${stats.min.toFixed(1)} to ${stats.max.toFixed(1)})   apollo-lm is ${ratio.toFixed(2)} times as fast   torch ${version}, peak ${(peakBytes / 2 ** 20).toFixed(0)} MiB`,
    );
    return {
      name: peer.name,
      version,
      tokensPerSecond: tokensPerSecond(stats.median),
      stepMs: stats,
      peakBytes,
      speedup: ratio,
    };
  }),
);
say(
  `peak memory     ${(peakBytes / 2 ** 20).toFixed(0)} MiB of the process; planned: arena ${(arenaBytes / 2 ** 20).toFixed(0)} + parameters ${(bufferBytes / 2 ** 20).toFixed(0)} MiB`,
);

const total = profile.reduce((sum, { ns }) => sum + ns, 0);
result.profile = profile.map(({ op, ns, uses }) => ({ op, uses, ms: ns / 1e6, share: ns / total }));
say('\nwhere a step goes:');
for (const { op, ns, uses } of profile.slice(0, o.byShape ? 40 : 14)) {
  say(
    `  ${op.padEnd(o.byShape ? 70 : 22)} ${(ns / 1e6).toFixed(2).padStart(8)} ms ${((100 * ns) / total).toFixed(1).padStart(5)} %   ${uses} uses`,
  );
}

if (o.depths) {
  const depths = Array.from({ length: layers }, (_, i) => i + 1);
  const steps = [];
  for (const depth of depths) steps.push(await bench.step({ ...shape, depth }));
  const samples: number[][] = depths.map(() => []);
  for (let round = -1; round < 7; ++round) {
    for (const [i, timed] of steps.entries()) {
      const { wallMs } = await timed.run();
      if (round >= 0) samples[i]!.push(wallMs);
    }
  }
  const medians = samples.map((values) => spread(values).median);
  const fit = linearFit(depths, medians);
  result.timePerDepth = { depths, stepMs: medians, ...fit };
  say(`\ntime per depth: ${depths.map((depth, i) => `${depth}: ${medians[i]!.toFixed(1)}`).join('  ')} ms`);
  say(`= ${fit.intercept.toFixed(2)} ms + depth x ${fit.slope.toFixed(2)} ms, R^2 ${fit.r2.toFixed(5)}`);
}
await device.close();
if (o.json) console.log(JSON.stringify(result, null, 2));
if (o.out) writeFileSync(o.out, `${JSON.stringify(result, null, 2)}\n`);
