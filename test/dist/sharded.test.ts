/** Ranks that share the optimizer's state, and gradients that travel as bf16: the same steps for less memory and traffic. */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createModel } from '../../lib/models/index.js';
import { temporaryFolder } from '../cli/support.js';
import { tinyModel } from '../train/tiny.js';
import { noMpi, runRanks } from './mpirun.js';

const folder = temporaryFolder();

interface Trained {
  readonly lines: readonly string[];
  readonly losses: readonly number[];
  readonly files: readonly string[];
  readonly warnings: readonly string[];
  readonly exchanged: readonly { readonly steps: number; readonly bytes: number; readonly bytesPerToken: number }[];
  readonly bytes: readonly number[];
  /** Bytes of all buffers between steps after the last growth: the minimum, since a checkpoint allocates some too. */
  readonly stateBytes: number;
}

interface Run {
  readonly kind?: 'gpt' | 'wide';
  readonly method?: 'apollo' | 'staged';
  readonly options?: Readonly<Record<string, unknown>>;
  /** Checkpoints of this run, else of its own. */
  readonly at?: string;
}

let runs = 0;

async function train(ranks: number, { kind = 'wide', method, options = {}, at = `run-${runs++}` }: Run = {}) {
  const checkpoints = join(folder, at, 'checkpoints');
  const own = { steps: 24, accumulation: 6 / ranks, ...options };
  const ended = await runRanks<Trained>(ranks, join(folder, at), {
    what: 'train',
    kind,
    ...(method && { method }),
    options: own,
    checkpoints,
  });
  t.equal(ended.results.length, ranks, ended.err);
  for (const { lines } of ended.results) t.same(lines, ended.results[0]!.lines, 'all ranks report the same bits');
  return ended.results;
}

for (const [name, ranks, method, options, state] of [
  ['AdamW', 3, 'apollo', {}, 8],
  ['AdamW in bf16', 2, 'apollo', { precision: 'bf16' }, 8],
  ['Muon', 2, 'apollo', { optimizer: 'muon' }, 4],
  ['AdamW and growth in width', 2, 'staged', {}, 8],
] as const) {
  t.test(`${name}: state that ranks share gives the same bits, files and growth`, { skip: noMpi }, async (t) => {
    const whole = await train(ranks, { method, options });
    const shared = await train(ranks, { method, options: { ...options, shardOptimizer: true } });
    t.same(shared[0]!.lines, whole[0]!.lines, 'losses and norms');
    t.ok(shared[0]!.lines.some((line) => line.includes('grows to')));
    t.same(shared[0]!.files, whole[0]!.files, "weights and optimizer's state");
    const all = state * parametersOf(4);
    for (const [rank, { stateBytes }] of shared.entries()) {
      const kept = 1 - (whole[rank]!.stateBytes - stateBytes) / all;
      t.ok(Math.abs(kept - 1 / ranks) < 0.08, `rank ${rank} keeps ${kept} of it`);
    }
  });
}

t.test('a run of ranks that share state is resumed by another number, with or without', { skip: noMpi }, async (t) => {
  const half = { stopAfter: { steps: 12 }, shardOptimizer: true };
  const uncut = await train(2, { options: { shardOptimizer: true } });
  await train(2, { options: half, at: 'cut' });
  for (const [ranks, shardOptimizer] of [
    [2, false],
    [3, true],
    [1, false],
  ] as const) {
    const at = `cut-${ranks}`;
    cpSync(join(folder, 'cut'), join(folder, at), { recursive: true });
    const [resumed] = await train(ranks, { options: { shardOptimizer }, at });
    if (ranks === 2) {
      t.same(resumed!.files, uncut[0]!.files, `the bits of an uncut run, sharing: ${shardOptimizer}`);
      t.same(resumed!.warnings, []);
    } else {
      t.match(resumed!.warnings[0], /on 2 ranks; .* on (3 ranks|1 rank).*may differ/);
      const far = resumed!.losses.map((loss, i) => Math.abs(loss / uncut[0]!.losses[i + 12]! - 1));
      t.ok(far.length === 12 && Math.max(...far) < 1e-4, `${ranks} ranks: ${Math.max(...far)}`);
    }
  }
});

t.test('gradients that travel as bf16, and what is sent', { skip: noMpi }, async (t) => {
  const ranks = 3;
  const options = { evaluateEvery: 0 };
  const [f32, bf16] = [
    await train(ranks, { options }),
    await train(ranks, { options: { ...options, exchangePrecision: 'bf16' } }),
  ];
  const behind = { ...options, exchangePrecision: 'bf16', overlapExchange: false };
  t.same((await train(ranks, { options: behind }))[0]!.lines, bf16[0]!.lines, 'the same bits behind the backward pass');
  const far = bf16[0]!.losses.map((loss, i) => Math.abs(loss - f32[0]!.losses[i]!));
  t.ok(Math.max(...far) > 0 && Math.max(...far) < 0.05, `${Math.max(...far)}`);
  const sharded = await train(ranks, { options: { ...options, exchangePrecision: 'bf16', shardOptimizer: true } });
  t.ok(sharded[0]!.lines.length === 26);

  // Of a stage of 1, 2 and 4 layers: every rank sends all but its own part, and gets the sums the same way.
  const elements = [1, 2, 4].map(parametersOf);
  for (const [results, each] of [
    [f32, 8],
    [bf16, 4],
    [sharded, 6], // gradients one way in bf16, and weights in f32
  ] as const) {
    for (const { exchanged, bytes } of results) {
      t.same(
        exchanged.map(({ steps }) => steps),
        [6, 8, 10],
      );
      const sent = exchanged.map((stage) => stage.bytes / stage.steps);
      const loss = 2 * (ranks - 1) * 8; // the loss and its guard, as f32
      t.same(
        sent,
        elements.map((count) => (ranks - 1) * each * count + loss),
      );
      t.equal(
        bytes.at(-1),
        exchanged.reduce((sum, stage) => sum + stage.bytes, 0),
      );
      t.equal(exchanged[0]!.bytesPerToken, sent[0]! / (6 * 4 * 16));
    }
  }
});

/** Elements of the wide model. */
function parametersOf(trainedLayers: number): number {
  return createModel({ ...tinyModel.config, hidden: 160, ffn: 640 })
    .parameters(trainedLayers)
    .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
}
