/** One rank of bench:exchange or bench/gpu/ranks.ts: `rank.ts TASK`. Trains on made-up tokens; the first rank prints what it measured as JSON. */
import { openGroup, rankOf } from '../../lib/dist/index.js';
import { openDevice } from '../../lib/engine/index.js';
import { createModel, preset } from '../../lib/models/index.js';
import { type TrainingCorpus, type TrainOptions, train } from '../../lib/train/index.js';
import { spread } from '../statistics.js';

export interface RankTask {
  readonly layers: number;
  readonly hidden: number;
  readonly vocabSize: number;
  readonly seq: number;
  /** CPU threads; absent: the rank trains on its own GPU. */
  readonly threads?: number;
  /** Steps before the clock counts, and those that it counts. */
  readonly warmUp: number;
  readonly steps: number;
  readonly options: Omit<TrainOptions, 'steps' | 'seq'>;
}

/** Medians of the steps. */
export interface Measured {
  readonly ms: number;
  readonly tokensPerSecond: number;
  /** Bytes of gradients and weights per token, sent by all ranks. */
  readonly bytesPerToken: number;
  /** Time of the gradient exchange, and how much of it the device waited for. */
  readonly exchangeMs: number;
  readonly exchangeWaitedMs: number;
  readonly losses: readonly number[];
}

const task = JSON.parse(process.argv[2]!) as RankTask;
const { layers, hidden, vocabSize, seq, threads, warmUp, steps } = task;
const device = await openDevice(
  threads === undefined ? { kind: 'cuda', index: rankOf(process.env).localRank ?? 0 } : { threads },
);
const group = await openGroup(device);
const model = createModel(
  preset('gpt-mini', {
    layers,
    hidden,
    heads: Math.max(1, hidden / 64),
    ffn: 4 * hidden,
    vocabSize,
    maxPositions: seq,
  }),
);
const rows = (batch: number, first: number) => {
  const tokens = Int32Array.from({ length: batch * seq }, (_, i) => (first + i * 31) % vocabSize);
  return { tokens, labels: tokens };
};
const corpus: TrainingCorpus = {
  key: 'numbers',
  shape: ({ batch }) => ({ batch, seq, padding: false }),
  batch: ({ batch, step, micro }) => rows(batch, step * 7 + micro),
  heldOutCount: () => 1,
  heldOut: ({ batch }) => rows(batch, 3),
};
const options = { ...task.options, seq, steps: warmUp + steps, evaluateEvery: 0 };
const timed: Omit<Measured, 'losses'>[] = [];
const losses: number[] = [];
for await (const event of train(options, { device, group, model, method: 'scratch', corpus })) {
  if (event.type !== 'step') continue;
  const { ms, tokensPerSecond, bytesPerToken = 0, exchangeMs = 0, exchangeWaitedMs = 0, loss } = event;
  losses.push(loss);
  if (event.step > warmUp) timed.push({ ms, tokensPerSecond, bytesPerToken, exchangeMs, exchangeWaitedMs });
}
const of = (field: keyof (typeof timed)[number]) => spread(timed.map((step) => step[field])).median;
const measured: Measured = {
  ms: of('ms'),
  tokensPerSecond: of('tokensPerSecond'),
  bytesPerToken: of('bytesPerToken'),
  exchangeMs: of('exchangeMs'),
  exchangeWaitedMs: of('exchangeWaitedMs'),
  losses,
};
if (group.rank === 0) console.log(JSON.stringify(measured));
await group.close();
await device.close();
