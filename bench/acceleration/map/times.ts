/** Time against FLOPs: arms train in turns with Scratch for a few hundred steps each, on a machine that does nothing else. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ApolloError } from '../../../lib/errors.js';
import { formatPercent } from '../../../lib/report/format.js';
import { markdownTable } from '../../../lib/report/table.js';
import { train } from '../../../lib/train/index.js';
import { trainingCorpus } from '../../../lib/train/text-corpus.js';
import { spread } from '../../statistics.js';
import type { ArmName } from './arms.js';
import { type MapRun, type ModelKind, nameOf } from './record.js';
import { type MapContext, mapOptions, methodOf, stageCostsOf, updateFlopsOf } from './run.js';

type Timed = Pick<MapRun, 'kind' | 'arm' | 'optimizer'>;

const timed: Readonly<Record<ModelKind, readonly (readonly [ArmName, MapRun['optimizer']])[]>> = {
  gpt: [
    ['scratch', 'adamw'],
    ['stack-early-calibrated', 'adamw'],
    ['stack-mid-calibrated', 'adamw'],
    ['apollo', 'adamw'],
    ['scratch', 'muon'],
    ['stack-mid-calibrated', 'muon'],
  ],
  bert: [
    ['scratch', 'adamw'],
    ['stack-mid-gated', 'adamw'],
    ['stack-later-gated', 'adamw'],
    ['apollo', 'adamw'],
    ['scratch', 'muon'],
    ['stack-mid-gated', 'muon'],
  ],
  llama: [
    ['scratch', 'adamw'],
    ['stack-early-calibrated', 'adamw'],
    ['stack-mid-calibrated', 'adamw'],
    ['apollo', 'adamw'],
  ],
};

/** The steps of a run. */
export interface TimedRun {
  readonly ms: number;
  /** FLOPs of the network, and with those of the optimizer. */
  readonly flops: number;
  readonly flopsWithUpdates: number;
}

/** An arm, with one run per round. */
export interface ArmTimes extends Timed {
  readonly runs: readonly TimedRun[];
}

export interface MapTimes {
  readonly format: 'apollo-lm/map-times/1';
  readonly about: Readonly<Record<string, string | number>>;
  readonly steps: number;
  readonly arms: readonly ArmTimes[];
}

export interface TimeOptions {
  readonly kinds: readonly ModelKind[];
  readonly steps: number;
  readonly rounds: number;
  /** Default: the arms whose time the page compares. */
  readonly arms?: typeof timed;
}

/** Trains every arm once per round, every other round in reverse order. @throws ApolloError ABORT_ERR on the signal. */
export async function measureTimes(
  { kinds, steps, rounds, arms = timed }: TimeOptions,
  context: MapContext,
): Promise<ArmTimes[]> {
  const all = kinds.flatMap((kind) =>
    arms[kind].map(([arm, optimizer]) => ({ kind, arm, optimizer, runs: [] as TimedRun[] })),
  );
  for (let round = 0; round < rounds; round++) {
    for (const own of round % 2 === 0 ? all : all.toReversed()) {
      const { runs, ...arm } = own;
      const result = await timeRun({ ...arm, steps, rate: 1e-3, schedule: 'wsd', seed: 42, warmup: 1 }, context);
      runs.push(result);
      context.say(
        `round ${round + 1} of ${rounds}, ${arm.kind} ${nameOf(arm)}: ${(result.ms / steps).toFixed(2)} ms a step`,
      );
    }
  }
  return all;
}

/** The steps of a run, those of the same network at its median time: without compilation and other work of the machine. */
async function timeRun(run: MapRun, { device, precision, corpora, signal }: MapContext): Promise<TimedRun> {
  const { model, method } = methodOf(run);
  const corpus = trainingCorpus(corpora[model.objective], { evaluationBatches: 1 });
  const options = { ...mapOptions(run, precision), evaluateEvery: run.steps, evaluationBatches: 1 };
  const times = new Map<string, number[]>();
  for await (const event of train(options, { device, model, method, corpus, signal })) {
    if (event.type === 'step') {
      const network = `${event.trainedLayers} ${event.depth}`;
      times.set(network, [...(times.get(network) ?? []), event.ms]);
    } else if (event.type === 'done' && event.aborted) throw new ApolloError('ABORT_ERR', 'Stopped.');
  }
  const ms = [...times.values()].reduce((sum, own) => sum + own.length * spread(own).median, 0);
  return { ms, ...flopsOf(run) };
}

/** FLOPs of a run's steps, without what its growth computes once: that is nothing in a run of full length. */
function flopsOf(run: MapRun): Omit<TimedRun, 'ms'> {
  const flops = stageCostsOf(run).reduce((sum, stage) => sum + stage.flops, 0);
  return { flops, flopsWithUpdates: flops + updateFlopsOf(run) };
}

const timesFile = 'times.json';

/** The times that are kept beside the page; undefined where none are. */
export function readTimes(folder: string): MapTimes | undefined {
  const path = join(folder, timesFile);
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as MapTimes) : undefined;
}

export function writeTimes(folder: string, times: MapTimes): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, timesFile), `${JSON.stringify(times)}\n`);
}

/** A kind's table: shares of Scratch's time and FLOPs, and their difference in points; undefined without times. */
export function timesTable({ steps, arms }: MapTimes, kind: ModelKind): string | undefined {
  const own = arms.filter((arm) => arm.kind === kind);
  const scratch = own.find(({ arm, optimizer }) => arm === 'scratch' && optimizer === 'adamw');
  if (!scratch) return undefined;
  return markdownTable([
    ['arm', 'time per step', "of Scratch's time", "of Scratch's FLOPs", "with the optimizer's", 'points apart'],
    ...own.map((arm) => {
      const time = spread(arm.runs.map(({ ms }, round) => ms / (scratch.runs[round] as TimedRun).ms));
      const [first, theirs] = [arm.runs[0] as TimedRun, scratch.runs[0] as TimedRun];
      const [flops, withUpdates] = [first.flops / theirs.flops, first.flopsWithUpdates / theirs.flopsWithUpdates];
      return [
        nameOf(arm),
        `${(spread(arm.runs.map(({ ms }) => ms)).median / steps).toFixed(2)} ms`,
        ...(arm === scratch
          ? ['-', '-', '-', '-']
          : [
              `${formatPercent(time.median)} (${formatPercent(time.min)} to ${formatPercent(time.max)})`,
              formatPercent(flops),
              formatPercent(withUpdates),
              signed(100 * (time.median - withUpdates)),
            ]),
      ];
    }),
  ]);
}

const signed = (value: number): string => `${value >= 0 ? '+' : ''}${value.toFixed(1)}`;
