/** The cost of a run on many ranks: the options, the model's figures and their table. Formulas: lib/dist/step-cost.ts. */
import { InvalidArgumentError, Option } from 'commander';
import {
  type ExchangeModel,
  engineOverlap,
  type RankModeName,
  rankModes,
  runCost,
  type StageLoad,
  type StepCost,
  stepCost,
} from '../dist/index.js';
import { ApolloError } from '../errors.js';
import { formatBytes, formatCount, formatDuration, formatPercent } from '../report/format.js';
import { textTable } from '../report/table.js';
import type { StageCost } from './plan.js';
import { whole } from './settings/options.js';

/** As the command line gives them. */
export interface RankFlags {
  readonly ranks?: readonly number[];
  /** Bytes per second. */
  readonly bandwidth: number;
  /** Seconds. */
  readonly latency: number;
  readonly overlap: number;
  /** FLOP/s of a rank, in place of a measurement. */
  readonly flops?: number;
  /** Bytes per second. */
  readonly memoryBandwidth?: number;
}

/** Fraction of a link's traffic that is not headers of Ethernet, IP or TCP. */
export const payload = 0.95;
/** Bytes per second that a rank moves in memory: of a CPU with measured steps, of a GPU with given FLOP/s. */
const memory = { measured: 8e9, given: 1e12 };
/** Steps of a round that are shown where --sync-every is not given. */
const rounds = [50, 500];

const units: Readonly<Record<string, number>> = { '': 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15 };

/** "400T", "1e14". @throws InvalidArgumentError. */
export function flopRate(text: string): number {
  const match = /^(\d+(?:\.\d+)?(?:e\d+)?)([kMGTP]?)$/.exec(text.trim());
  const value = match ? Number(match[1]) * units[match[2] ?? '']! : Number.NaN;
  if (!(value > 0)) throw new InvalidArgumentError('It must be FLOP per second, such as 400T or 50G.');
  return value;
}

/** "1Gbit", "100Mbit" and "12GB" per second, as bytes per second. @throws InvalidArgumentError. */
export function byteRate(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([kMGT]?)(bit|B)(?:\/s)?$/.exec(text.trim());
  const value = match ? (Number(match[1]) * units[match[2] ?? '']!) / (match[3] === 'bit' ? 8 : 1) : Number.NaN;
  if (!(value > 0)) throw new InvalidArgumentError('It must be a rate per second, such as 1Gbit, 100Mbit or 50GB.');
  return value;
}

/** "50us", "1.5ms", "2s", as seconds. @throws InvalidArgumentError. */
export function seconds(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ns|us|ms|s)$/.exec(text.trim());
  if (!match) throw new InvalidArgumentError('It must be a time, such as 50us or 1ms.');
  return Number(match[1]) / { ns: 1e9, us: 1e6, ms: 1e3, s: 1 }[match[2] as 'ns' | 'us' | 'ms' | 's'];
}

function share(text: string): number {
  const value = Number(text);
  if (!(value >= 0 && value <= 1)) throw new InvalidArgumentError('It must be a share from 0 to 1.');
  return value;
}

function atLeastOne(text: string, previous?: readonly number[] | unknown): number[] {
  const value = whole(text);
  if (value < 1) throw new InvalidArgumentError('It must be at least 1.');
  return [...(Array.isArray(previous) ? (previous as number[]) : []), value];
}

/** Options of `plan` that describe the ranks and the links between them. */
export const rankFlags: readonly Option[] = [
  new Option(
    '--ranks <n...>',
    'predict step time and efficiency for these numbers of ranks, e.g. 8 64 512 4096',
  ).argParser(atLeastOne),
  new Option('--bandwidth <rate>', 'bandwidth of the link of each rank, e.g. 1Gbit or 50GB')
    .argParser(byteRate)
    .default(1.25e9, '10Gbit'),
  new Option('--latency <time>', 'latency of a message between two ranks').argParser(seconds).default(50e-6, '50us'),
  new Option(
    '--overlap <share>',
    'share of the backward pass of the last micro-batch during which gradients are exchanged',
  )
    .argParser(share)
    .default(engineOverlap, `what the engine does: ${engineOverlap}`),
  new Option('--flops <rate>', 'FLOP per second that a rank reaches, e.g. 400T, in place of a measurement').argParser(
    flopRate,
  ),
  new Option('--memory-bandwidth <rate>', 'of a rank; default: 8GB, with --flops 1TB').argParser(byteRate),
];

/**
 * Refuses what would have no effect. `given`: names of the options on the command line.
 * @throws ApolloError BAD_CONFIG where the ranks' step would be made of nothing or of two speeds, or there are no ranks.
 */
export function checkRankFlags({ ranks, flops }: RankFlags, measure: string, given: ReadonlySet<string>): void {
  const refuse = (message: string) => {
    throw new ApolloError('BAD_CONFIG', message);
  };
  if (!ranks) {
    const idle = rankFlags.find((option) => given.has(option.attributeName()))?.long;
    const flag = idle ?? (given.has('shardOptimizer') ? '--shard-optimizer' : undefined);
    if (flag) refuse(`${flag} is for a plan on many ranks: add --ranks, e.g. --ranks 8 64, or remove it.`);
    return;
  }
  if (measure === 'none' && flops === undefined) {
    refuse(
      '--ranks requires the speed of one rank: remove --no-measure, or give --flops, the FLOP per second of a rank.',
    );
  }
  if (measure !== 'none' && flops !== undefined && given.has('measure')) {
    refuse(`--measure ${measure} and --flops both give the speed of one rank. Give one of them.`);
  }
}

/** The figures of a mode for one number of ranks. */
export interface RankRow {
  readonly ranks: number;
  readonly mode: RankModeName;
  /** Steps of a round, of outer steps. */
  readonly syncEvery?: number;
  /** The mean step of the run. */
  readonly step: StepCost;
}

export interface RanksPlan {
  readonly model: Omit<ExchangeModel, 'syncEvery'>;
  readonly compute: 'measured' | 'given';
  readonly stages: readonly (StageLoad & {
    readonly trainedLayers: number;
    /** Bytes of weights, gradients and optimizer state on each of the last number of ranks. */
    readonly parameterBytes: number;
    /** Bytes that a rank sends in a step with the last number of ranks, by mode, and in an outer step. */
    readonly bytes: Readonly<Record<RankModeName, number>>;
  })[];
  /** Precision that those bytes are of, and whether the ranks share the optimizer's state. */
  readonly precision: 'f32' | 'bf16';
  readonly sharded: boolean;
  readonly rows: readonly RankRow[];
  /** Steps of each stage, which may follow from the tokens of all ranks. */
  readonly runs: readonly { readonly ranks: number; readonly steps: readonly number[] }[];
}

/** What of a run's settings decides the cost of its ranks. */
export interface RankSettings {
  readonly syncEvery?: number | undefined;
  readonly accumulation: number;
  readonly precision: 'f32' | 'bf16';
  readonly shardOptimizer: boolean;
}

/**
 * The run on each number of ranks. `stagesOf`: the stages of a run on that number, as what one of them computes; `secondsOf`: of
 * that, for all steps of a stage; `bytesOf`: of the weights, gradients and optimizer state of such a stage on a rank.
 */
export function ranksPlan(
  flags: RankFlags & { readonly ranks: readonly number[] },
  stagesOf: (ranks: number) => readonly StageCost[],
  secondsOf: (stage: StageCost) => number,
  bytesOf: (stage: StageCost, held: { readonly precision: 'f32' | 'bf16'; readonly shards: number }) => number,
  { syncEvery, accumulation: microBatches, precision, shardOptimizer: sharded }: RankSettings,
): RanksPlan {
  const compute = flags.flops === undefined ? 'measured' : 'given';
  const network = {
    latency: flags.latency,
    bandwidth: payload * flags.bandwidth,
    memory: flags.memoryBandwidth ?? memory[compute],
  };
  const model = { network, overlap: flags.overlap };
  const runs = flags.ranks.map((ranks) => ({
    ranks,
    loads: stagesOf(ranks).map((stage) => ({
      trainedLayers: stage.trainedLayers,
      steps: stage.steps,
      parameters: stage.parameters,
      compute: secondsOf(stage) / stage.steps,
      microBatches,
      parameterBytes: bytesOf(stage, { precision, shards: sharded ? ranks : 1 }),
    })),
  }));
  const everies = syncEvery === undefined ? rounds : [syncEvery];
  const modes = Object.keys(rankModes) as RankModeName[];
  const rows = runs.flatMap(({ ranks, loads }) =>
    modes.flatMap((mode) =>
      (mode === 'outer' ? everies : [undefined]).map((every) => ({
        ranks,
        mode,
        ...(every !== undefined && { syncEvery: every }),
        step: runCost(mode, loads, ranks, { ...model, syncEvery: every ?? 1 }),
      })),
    ),
  );
  const { ranks, loads } = runs.at(-1)!;
  const sent = (load: StageLoad, mode: RankModeName) => stepCost(mode, load, ranks, { ...model, syncEvery: 1 }).bytes;
  const allSent = (load: StageLoad) => Object.fromEntries(modes.map((mode) => [mode, sent(load, mode)]));
  return {
    model,
    compute,
    stages: loads.map((load) => ({ ...load, bytes: allSent(load) as Record<RankModeName, number> })),
    precision,
    sharded,
    rows,
    runs: runs.map(({ ranks, loads }) => ({ ranks, steps: loads.map(({ steps }) => steps) })),
  };
}

function time(value: number): string {
  if (value < 1e-3) return `${Number((1e6 * value).toPrecision(3))} us`;
  return value < 1 ? `${Number((1e3 * value).toPrecision(3))} ms` : formatDuration(1e3 * value);
}

/** The tables, with what they assume. `alone`: the stages on one rank. */
export function formatRanks(
  { model, compute, stages, precision, sharded, rows, runs }: RanksPlan,
  alone: readonly StageCost[],
): string {
  const ranks = [...new Set(rows.map((row) => row.ranks))];
  const columns = rows.filter((row) => row.ranks === ranks[0]);
  const title = ({ mode, syncEvery }: RankRow) =>
    syncEvery === undefined ? rankModes[mode].title : `outer step every ${syncEvery} (DiLoCo)`;
  const table = textTable([
    ['ranks', ...columns.map(title)],
    ...ranks.map((count) => [
      count.toLocaleString('en'),
      ...rows
        .filter((row) => row.ranks === count)
        .map(({ step }) => `${time(step.seconds)}, ${formatPercent(step.efficiency)}`),
    ]),
  ]);
  const last = ranks.at(-1)!;
  const bytes = textTable([
    ['trained layers', 'parameters', 'computes', 'f32', 'bf16', 'ZeRO-1', 'an outer step', 'holds'],
    ...stages.map(({ trainedLayers, parameters, compute: own, bytes: sent, parameterBytes: held }) => [
      String(trainedLayers),
      formatCount(parameters),
      time(own),
      ...(['f32', 'bf16', 'sharded', 'outer'] as const).map((mode) => formatBytes(Math.round(sent[mode]))),
      formatBytes(held),
    ]),
  ]);
  const onOne = alone.map(({ steps }) => steps).join(', ');
  const others = runs
    .map(({ ranks: count, steps }) => ({ count, steps: steps.join(', ') }))
    .filter(({ steps }) => steps !== onOne)
    .map(({ count, steps }) => `on ${count.toLocaleString('en')} ranks ${steps}`);
  const { network, overlap } = model;
  return [
    'Mean step on many ranks, and the share of it in which a rank computes. Each rank has its own micro-batches, so N ranks',
    'process N times as many tokens per step.',
    '',
    table,
    ...(others.length > 0
      ? [
          '',
          `The tokens of all ranks decide the steps of the stages: ${others.join('; ')}; on one rank, as above, ${onOne}.`,
        ]
      : []),
    '',
    `A step of each stage on ${last.toLocaleString('en')} ranks: what a rank computes, the bytes that it sends by mode, and those that it`,
    `holds of weights, gradients and optimizer state with ${precision} products, ${
      sharded
        ? `${last === 1 ? 'all' : `1/${last.toLocaleString('en')}`} of that state (--shard-optimizer)`
        : 'whole on each rank; --shard-optimizer shares that state'
    }`,
    '',
    bytes,
    '',
    `Assumed: ${compute === 'measured' ? 'one rank takes the time above for its micro-batches, and no more where ranks share a machine' : 'one rank reaches the given FLOP/s'};`,
    `links of ${formatCount(network.bandwidth / payload)}B/s for each rank, both ways at once, ${formatPercent(payload, 0)} of it payload, ${time(network.latency)} per message, no other traffic;`,
    `${formatCount(network.memory)}B/s in memory; the cheapest of ring, halving and doubling, and tree (Thakur, Rabenseifner, Gropp 2005);`,
    `${formatPercent(overlap, 0)} of the backward pass of the last micro-batch overlaps the exchange; no rank waits for a slower one; no update, evaluation or checkpoint.`,
  ].join('\n');
}
