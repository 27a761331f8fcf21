/**
 * npm run bench:exchange: what several ranks on this machine cost against one with all their threads, for the same step.
 * Settings take turns, each in its own processes. Prints tokens/s, what is sent for a token, the time of the exchange of
 * gradients and the share of it that is hidden behind the backward pass.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { textTable } from '../../lib/report/table.js';
import { whole } from '../options.js';
import { spread } from '../statistics.js';
import type { Measured, RankTask } from './rank.js';

const o = new Command('bench:exchange')
  .description('Times a training step on several ranks of this machine against one rank with as many threads.')
  .option('--ranks <n>', 'ranks, of one thread each', whole, 2)
  .option('--layers <n>', 'layers', whole, 12)
  .option('--hidden <n>', 'hidden size', whole, 256)
  .option('--vocab-size <n>', 'vocabulary', whole, 8192)
  .option('--seq <n>', 'tokens per sequence', whole, 128)
  .option('--batch <n>', 'sequences of a micro-batch', whole, 8)
  .option('--accumulation <n>', 'micro-batches of a step, on each rank', whole, 1)
  .option('--steps <n>', 'timed steps of a round', whole, 8)
  .option('--rounds <n>', 'rounds in which the settings alternate', whole, 3)
  .option('--out <file>', 'also write JSON to a file')
  .parse()
  .opts<
    Record<
      'ranks' | 'layers' | 'hidden' | 'vocabSize' | 'seq' | 'batch' | 'accumulation' | 'steps' | 'rounds',
      number
    > & {
      out?: string;
    }
  >();

interface Setting {
  readonly name: string;
  readonly ranks: number;
  readonly options?: Partial<RankTask['options']>;
}

const several = `${o.ranks} ranks x 1 thread`;
const settings: readonly Setting[] = [
  { name: `1 rank x ${o.ranks} threads`, ranks: 1 },
  { name: several, ranks: o.ranks },
  { name: `${several}, no overlap`, ranks: o.ranks, options: { overlapExchange: false } },
  { name: `${several}, bf16`, ranks: o.ranks, options: { exchangePrecision: 'bf16' } },
  { name: `${several}, shared state`, ranks: o.ranks, options: { shardOptimizer: true } },
];

const loader = new URL('../../scripts/ts-loader.mjs', import.meta.url).href;
const rank = fileURLToPath(new URL('./rank.ts', import.meta.url));

/** One run of a setting. @throws Error with what its ranks have printed when they fail. */
function measure({ ranks, options }: Setting): Measured {
  const { layers, hidden, vocabSize, seq, batch, steps } = o;
  const task: RankTask = {
    layers,
    hidden,
    vocabSize,
    seq,
    threads: ranks === 1 ? o.ranks : 1,
    warmUp: 3,
    steps,
    options: { batch, accumulation: ranks === 1 ? o.accumulation * o.ranks : o.accumulation, ...options },
  };
  const node = [process.execPath, `--import=${loader}`, rank, JSON.stringify(task)];
  const root = process.getuid?.() === 0 ? ['--allow-run-as-root'] : [];
  const mpirun = ['mpirun', '--oversubscribe', '--bind-to', 'none', ...root, '-np', String(ranks), ...node];
  const [command, ...args] = ranks === 1 ? node : mpirun;
  const { stdout, stderr, status, error } = spawnSync(command!, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} has failed: ${error?.message ?? stderr}`);
  return JSON.parse(stdout) as Measured;
}

const rounds = settings.map((): Measured[] => []);
for (let round = 0; round < o.rounds; round++) {
  for (const [i, setting] of settings.entries()) {
    const measured = measure(setting);
    rounds[i]!.push(measured);
    console.log(`round ${round + 1}, ${setting.name}: ${measured.tokensPerSecond.toFixed(0)} tokens/s`);
  }
}
const results = settings.map(({ name }, i) => {
  const of = (field: Exclude<keyof Measured, 'losses'>) => spread(rounds[i]!.map((measured) => measured[field])).median;
  const [exchangeMs, waitedMs] = [of('exchangeMs'), of('exchangeWaitedMs')];
  return {
    name,
    tokensPerSecond: of('tokensPerSecond'),
    ms: of('ms'),
    bytesPerToken: of('bytesPerToken'),
    exchangeMs,
    exchangeWaitedMs: waitedMs,
    hidden: exchangeMs > 0 ? Math.max(0, 1 - waitedMs / exchangeMs) : 0,
    // Of rounds in pairs, so that what else the machine does counts for both alike.
    ratio: spread(rounds[i]!.map((measured, round) => measured.tokensPerSecond / rounds[0]![round]!.tokensPerSecond))
      .median,
  };
});
console.log(
  `\nGPT, ${o.layers} layers x ${o.hidden}, ${o.accumulation} x ${o.batch} x ${o.seq} tokens on each rank; medians of ${o.rounds} rounds of ${o.steps} steps\n`,
);
console.log(
  textTable([
    ['', 'tokens/s', 'of one rank', 'step, ms', 'bytes/token', 'exchange, ms', 'device waited, ms', 'of it hidden'],
    ...results.map((result) => [
      result.name,
      result.tokensPerSecond.toFixed(0),
      `${result.ratio.toFixed(3)} x`,
      result.ms.toFixed(1),
      result.bytesPerToken.toFixed(0),
      result.exchangeMs.toFixed(1),
      result.exchangeWaitedMs.toFixed(1),
      `${(100 * result.hidden).toFixed(0)} %`,
    ]),
  ]),
);
const [, beside, behind] = results;
console.log(
  `\nBehind the backward pass the device waits ${behind!.exchangeWaitedMs.toFixed(1)} ms a step for the exchange, beside it ` +
    `${beside!.exchangeWaitedMs.toFixed(1)} ms: ${(100 * (1 - beside!.exchangeWaitedMs / behind!.exchangeWaitedMs)).toFixed(0)} % of it are hidden.`,
);
if (o.out) writeFileSync(o.out, `${JSON.stringify({ options: o, results }, null, 2)}\n`);
