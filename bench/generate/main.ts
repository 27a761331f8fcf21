/**
 * npm run bench:generate: greedy text of a GPT-2-sized model with random weights, here and in PyTorch, in rounds taking
 * turns. Prints tokens/s, the share of what the memory's bandwidth allows, and where a token's time goes.
 */
import { writeFileSync } from 'node:fs';
import { Command } from 'commander';
import {
  copyBandwidth,
  Graph,
  loadAddon,
  openDevice,
  ParameterStore,
  StateStore,
  sum,
} from '../../lib/engine/index.js';
import { defaultSpinCount } from '../../lib/engine/native.js';
import { Decoder } from '../../lib/eval/generate/decoder.js';
import { generate } from '../../lib/eval/generate/generate.js';
import type { TrainedModel } from '../../lib/eval/trained.js';
import { createModel, declareParameters, modelWeights, parameterCount, withDefaults } from '../../lib/models/index.js';
import { whole } from '../options.js';
import { spread } from '../statistics.js';
import { findPeerPython, Peer } from '../step/peer.js';

const command = new Command('bench:generate')
  .description('Times token-by-token generation against PyTorch and against the bandwidth of this machine.')
  .option('--layers <n>', 'layers', whole, 12)
  .option('--hidden <n>', 'hidden size', whole, 768)
  .option('--vocab-size <n>', 'vocabulary', whole, 50257)
  .option('--prompt <n>', 'tokens of the prompt', whole, 32)
  .option('--tokens <n>', 'tokens after it', whole, 128)
  .option('--batch <n>', 'texts side by side', whole, 1)
  .option('--rounds <n>', 'rounds of one text each', whole, 5)
  .option('--precision <p>', 'f32 or bf16', 'f32')
  .option('--device <kind>', 'cpu or cuda', 'cpu')
  .option('--threads <n>', 'threads (default: all processors)', whole)
  .option('--no-peer', 'without PyTorch')
  .option('--json', 'print JSON only')
  .option('--out <file>', 'also write the JSON to a file')
  .parse();
const o = command.opts();
const say = (text: string) => (o.json ? undefined : console.log(text));

const device = await openDevice({ kind: o.device, ...(o.threads ? { threads: o.threads } : {}) });
const { kind, name, threads } = device.info();
const addon = loadAddon().info();
say(kind === 'cpu' ? `${addon.cpuName}, ${threads} threads, oneDNN ${addon.oneDnn} (${addon.oneDnnIsa})` : name);

const maxPositions = Math.max(1024, o.prompt + o.tokens);
const model = createModel(
  withDefaults({ kind: 'gpt', layers: o.layers, hidden: o.hidden, vocabSize: o.vocabSize, maxPositions }),
);
const { heads } = model.config;
const store = new ParameterStore(device, { precision: o.precision });
const specs = declareParameters(store, model, o.layers);
// Weights repeat a stretch of noise: their values do not matter, and drawing as many normal numbers would take a minute.
const noise = Float32Array.from(
  { length: 1 << 18 },
  (_, i) => 0.07 * (((i * 2654435761) % 4294967296) / 4294967296 - 0.5),
);
for (const { name: parameter, shape, init } of specs) {
  const values = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(init.kind === 'ones' ? 1 : 0);
  for (let at = 0; init.kind === 'normal' && at < values.length; at += noise.length) {
    values.set(noise.subarray(0, Math.min(noise.length, values.length - at)), at);
  }
  await store.write(parameter, values);
}
const trained: TrainedModel = { model, store, layerMap: Array.from({ length: o.layers }, (_, i) => i) };
const prompt = Int32Array.from({ length: o.prompt }, (_, i) => (i * 100) % o.vocabSize);

/** Ms of one text, all of it: prompt, tokens, drawing. */
async function ours(tokens: number): Promise<number> {
  const start = performance.now();
  let count = 0;
  for await (const _ of generate(trained, prompt, { greedy: true, maxTokens: tokens, samples: o.batch })) count++;
  if (count !== tokens * o.batch) throw new Error(`${count} tokens came`);
  return performance.now() - start;
}

/** Ms of each op in one token's run, the least of some runs. */
async function profile(): Promise<{ op: string; ms: number }[]> {
  using states = new StateStore(device);
  const graph = new Graph();
  const decoding = { batch: o.batch, length: maxPositions, first: false };
  const shape = { batch: o.batch, seq: 1 };
  const weights = modelWeights(graph, model, store.precision);
  graph.output('logits', model.predict(graph, weights, shape, { layerMap: trained.layerMap, decoding }));
  using program = await device.compile(graph, { store, states });
  const least = new Map<string, number>();
  for (let run = 0; run < 12; run++) {
    const positions = new Int32Array(o.batch).fill(o.prompt + run);
    const { profile: times = [] } = await program.run(
      { tokens: new Int32Array(o.batch), positions },
      { profile: true },
    );
    const mine = new Map<string, number>();
    for (const { op, name: operands, ns } of times) {
      const key = op === 'matmul' ? `${op} ${operands}` : op;
      mine.set(key, (mine.get(key) ?? 0) + ns / 1e6);
    }
    for (const [op, ms] of mine) least.set(op, Math.min(least.get(op) ?? Number.POSITIVE_INFINITY, ms));
  }
  return [...least].map(([op, ms]) => ({ op, ms })).sort((a, b) => b.ms - a.ms);
}

/** Bytes per second of a sum over the word table: reading alone. */
async function readBandwidth(): Promise<number> {
  const graph = new Graph();
  graph.output('sum', sum(graph.parameter('embeddings.word', [o.vocabSize, o.hidden])));
  using program = await device.compile(graph, { store });
  const times: number[] = [];
  for (let run = -2; run < 9; run++) {
    const { profile: instructions = [] } = await program.run({}, { profile: true });
    if (run >= 0) times.push(instructions.reduce((total, { ns }) => total + ns, 0));
  }
  return (4 * o.vocabSize * o.hidden) / (spread(times).median * 1e-9);
}

/** Bytes of weights that a token reads: matrices in the working precision; of the position table one row. */
const weightBytes = specs.reduce((total, spec) => {
  if (spec.name === 'embeddings.position') return total;
  return total + parameterCount([spec]) * (spec.role === 'matrix' && o.precision === 'bf16' ? 2 : 4);
}, 0);

type Variant = 'generate' | 'loop';
const variantNames: Readonly<Record<Variant, string>> = {
  generate: 'transformers generate',
  loop: 'torch loop by hand',
};

const python = o.peer ? findPeerPython() : undefined;
if (o.peer && !python)
  say('No Python with torch: no peer (set APOLLO_PYTHON to an interpreter that has torch and transformers).');
const peers: { variant: Variant; peer: Peer; ms: number[] }[] = [];
for (const variant of python ? (['loop', 'generate'] as const) : []) {
  const script = new URL('./torch_generate.py', import.meta.url);
  const { layers, hidden, vocabSize, prompt: length, tokens, batch, precision } = o;
  const options = {
    layers,
    hidden,
    heads,
    'vocab-size': vocabSize,
    positions: maxPositions,
    prompt: length,
    tokens,
    threads,
    precision,
  };
  const peer = Peer.launch(python!, script, variantNames[variant], { ...options, batch, variant });
  peers.push({ variant, peer, ms: [] });
  await peer.run(1);
}

await ours(8);
const bandwidth = { copy: [] as number[], read: [] as number[] };
const own: number[] = [];
for (let round = 0; round < o.rounds; round++) {
  bandwidth.copy.push(await copyBandwidth(device));
  bandwidth.read.push(await readBandwidth());
  own.push(await ours(o.tokens));
  for (const { peer, ms } of peers) ms.push(...(await peer.run(1)));
  const line = [['apollo-lm', own.at(-1)!] as const, ...peers.map(({ peer, ms }) => [peer.name, ms.at(-1)!] as const)];
  say(`round ${round + 1}: ${line.map(([who, ms]) => `${who} ${(ms / 1e3).toFixed(2)} s`).join(', ')}`);
}
const versions = await Promise.all(peers.map(({ peer }) => peer.end()));
const ops = await profile();
// One token alone, without a neighbour: the least of many is what the machine can do when it does nothing else.
using decoder = new Decoder(trained, { batch: o.batch, length: maxPositions });
await decoder.begin([prompt]);
const steps: number[] = [];
for (let i = 0; i < 64; i++) {
  const start = performance.now();
  await decoder.next(new Int32Array(o.batch));
  steps.push(performance.now() - start);
}
await device.close();

const perSecond = (ms: number) => (o.tokens * o.batch * 1e3) / ms;
const copy = spread(bandwidth.copy);
const read = spread(bandwidth.read);
const result = {
  model: `gpt, ${o.layers} x ${o.hidden}, ${heads} heads, vocabulary ${o.vocabSize}`,
  parameters: parameterCount(specs),
  prompt: o.prompt,
  tokens: o.tokens,
  batch: o.batch,
  precision: o.precision,
  device: name,
  machine: { ...addon, threads, spinCount: process.env['GOMP_SPINCOUNT'] ?? defaultSpinCount },
  bytesPerSecond: { copy, read },
  floor: {
    weightBytes,
    msPerTokenAtCopyBandwidth: (1e3 * weightBytes) / copy.max,
    msPerTokenAtReadBandwidth: (1e3 * weightBytes) / read.max,
  },
  tokensPerSecond: perSecond(spread(own).median),
  textMs: spread(own),
  nextMs: spread(steps),
  peers: peers.map(({ variant, ms }, i) => ({
    name: variantNames[variant],
    version: versions[i]!.version,
    tokensPerSecond: perSecond(spread(ms).median),
    textMs: spread(ms),
    // Round by round, so that a machine that is slow for a while is slow for both.
    speedup: spread(ms.map((theirs, round) => theirs / own[round]!)),
    peakBytes: versions[i]!.peakBytes,
  })),
  profile: ops,
};
if (o.json) console.log(JSON.stringify(result, null, 2));
if (o.out) writeFileSync(o.out, `${JSON.stringify(result, null, 2)}\n`);
say(
  [
    '',
    `${result.model}, ${o.precision}; prompt ${o.prompt}, ${o.tokens} tokens, batch ${o.batch}`,
    `apollo-lm             ${result.tokensPerSecond.toFixed(1)} tokens/s; a token alone ${result.nextMs.median.toFixed(1)} ms (${result.nextMs.min.toFixed(1)} at best)`,
    ...result.peers.map(
      (peer) =>
        `${peer.name.padEnd(21)} ${peer.tokensPerSecond.toFixed(1)} tokens/s; apollo-lm is ${peer.speedup.median.toFixed(2)} times as fast (${peer.speedup.min.toFixed(2)} to ${peer.speedup.max.toFixed(2)})`,
    ),
    `floor                 ${(weightBytes / 1e6).toFixed(0)} MB of weights per token: ${result.floor.msPerTokenAtCopyBandwidth.toFixed(1)} ms at the bandwidth of copies ` +
      `(${(copy.max / 1e9).toFixed(1)} GB/s at best), ${result.floor.msPerTokenAtReadBandwidth.toFixed(1)} ms at that of reading (${(read.max / 1e9).toFixed(1)} GB/s)`,
    '',
    'where a token goes (the least of 12 runs):',
    ...ops.slice(0, 9).map(({ op, ms }) => `  ${op.padEnd(60)} ${ms.toFixed(2).padStart(7)} ms`),
  ].join('\n'),
);
