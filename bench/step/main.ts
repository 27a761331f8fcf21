/**
 * npm run bench:step: one training step of a model, here and in PyTorch, taking turns in one run. Prints tokens/s,
 * the share of the measured matmul peak, peak memory and the time per depth.
 */
import { writeFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { loadAddon, openDevice } from '../../lib/engine/index.js';
import { familyKinds, preset } from '../../lib/models/index.js';
import { whole } from '../options.js';
import { compareStep, describeStep } from './compare.js';
import { findPeerPython } from './peer.js';

const command = new Command('bench:step')
  .description('Times one training step against PyTorch and against the matmul peak of this machine.')
  .addOption(new Option('--model <kind>', 'model family').choices(familyKinds()).default('gpt'))
  .option('--layers <n>', 'layers', whole, 12)
  .option('--hidden <n>', 'hidden size', whole, 256)
  .option('--heads <n>', 'attention heads', whole, 4)
  .option('--kv-heads <n>', "key/value heads, where the family has them (default: the preset's)", whole)
  .option('--seq <n>', 'tokens per sequence', whole, 128)
  .option('--batch <n>', 'sequences per step', whole, 16)
  .option('--vocab-size <n>', 'vocabulary', whole, 8192)
  .option('--precision <p>', 'f32 or bf16', 'bf16')
  .option('--device <kind>', 'cpu or cuda', 'cpu')
  .option('--threads <n>', 'threads (default: all processors)', whole)
  .option('--steps <n>', 'timed steps, in 5 rounds', whole, 20)
  .option('--hugging-face', 'also the classes of Hugging Face')
  .option('--by-shape', 'profile by op and operands')
  .option('--no-peer', 'without PyTorch')
  .option('--no-depths', 'without the time per depth')
  .option('--json', 'print JSON only')
  .option('--out <file>', 'also write the JSON to a file')
  .parse();

const o = command.opts();
const say = (text: string) => (o.json ? undefined : console.log(text));
const layers = o.layers as number;

const device = await openDevice({ kind: o.device, ...(o.threads ? { threads: o.threads } : {}) });
const addon = loadAddon().info();
const { kind, name, threads } = device.info();
say(kind === 'cpu' ? `${addon.cpuName}, ${threads} threads, oneDNN ${addon.oneDnn} (${addon.oneDnnIsa})` : name);
const python = o.peer ? findPeerPython() : undefined;
if (o.peer && !python)
  say('No Python with torch found: no peer (set APOLLO_PEER_PYTHON to an interpreter that has it).');
const comparison = await compareStep({
  device,
  config: preset(`${o.model}-mini`, {
    layers,
    hidden: o.hidden,
    heads: o.heads,
    vocabSize: o.vocabSize,
    maxPositions: o.seq,
    ...(o.kvHeads && { keyValueHeads: o.kvHeads }),
  }),
  seq: o.seq,
  batch: o.batch,
  precision: o.precision,
  steps: o.steps,
  python,
  peers: ['eager', 'compile', ...(o.huggingFace ? (['huggingface', 'huggingface-compile'] as const) : [])],
  depths: o.depths ? Array.from({ length: layers }, (_, i) => i + 1) : [],
  byShape: Boolean(o.byShape),
  say,
});
await device.close();
const result = {
  ...comparison,
  machine: { ...addon, threads },
  peakBytes: process.resourceUsage().maxRSS * 1024,
};
if (o.json) console.log(JSON.stringify(result, null, 2));
else say(describeStep(comparison));
if (o.out) writeFileSync(o.out, `${JSON.stringify(result, null, 2)}\n`);
