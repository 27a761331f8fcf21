/**
 * Analysis of the map's records: each arm at its best rate and schedule, its difference from tuned Scratch over paired
 * seeds, and the FLOPs it saves at equal loss, read off frontiers of annealed runs.
 */
import { type Spread, spread } from '../../../lib/report/aggregate.js';
import { flopsFor, lossFor } from '../annealed.js';
import type { MapRecord, ModelKind } from './record.js';
import type { Prediction } from './rounds/index.js';
import { updateFlopsOf } from './run.js';

/** Runs of one arm that differ in their seeds alone. */
export interface Tuned {
  readonly arm: string;
  readonly optimizer: string;
  readonly rate: number;
  readonly schedule: string;
  readonly warmup?: number | undefined;
  readonly steps: number;
  readonly loss: Spread;
  readonly flops: number;
  /** One run per seed, all of which finished. */
  readonly runs: readonly (MapRecord & { readonly loss: number })[];
}

export interface Selection {
  readonly kind: ModelKind;
  readonly arm: string;
  readonly optimizer?: string;
  readonly steps: number;
}

/**
 * An arm at the rate, schedule and warm-up with the lowest mean loss; undefined without a finished run. Choices with the most seeds
 * go first, so that a lucky run of one seed does not stand for the arm.
 */
export function tuned(
  records: readonly MapRecord[],
  { kind, arm, optimizer = 'adamw', steps }: Selection,
): Tuned | undefined {
  const own = records.filter(
    (record) => record.kind === kind && record.arm === arm && record.optimizer === optimizer && record.steps === steps,
  );
  const groups = groupBy(own, ({ rate, schedule, warmup }) => `${schedule} ${rate} ${warmup}`);
  const finished = [...groups.values()].flatMap((runs) => {
    if (runs.some(({ loss }) => loss === null)) return [];
    const whole = runs as (MapRecord & { loss: number })[];
    const { rate, schedule, warmup } = whole[0]!;
    const loss = spread(whole.map((run) => run.loss));
    const flops = spread(whole.map((run) => run.flops)).mean;
    return [{ arm, optimizer, rate, schedule, warmup, steps, loss, flops, runs: whole }];
  });
  const most = Math.max(...finished.map(({ runs }) => runs.length));
  return finished
    .filter(({ runs }) => runs.length === most)
    .reduce<Tuned | undefined>((best, other) => (!best || other.loss.mean < best.loss.mean ? other : best), undefined);
}

function groupBy<Value>(values: readonly Value[], key: (value: Value) => string): Map<string, Value[]> {
  const groups = new Map<string, Value[]>();
  for (const value of values) groups.set(key(value), [...(groups.get(key(value)) ?? []), value]);
  return groups;
}

/** Two-sided 95 % quantiles of Student's t for 1 to 9 degrees of freedom. */
const student = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

export interface Difference {
  readonly mean: number;
  /** Half of the 95 % interval of the mean; absent for one seed. */
  readonly halfWidth?: number;
  readonly seeds: number;
}

/** Mean of `a - b` over the seeds that both have; undefined when they share none. */
export function pairedDifference(a: Tuned, b: Tuned): Difference | undefined {
  const differences = a.runs.flatMap((run) => {
    const other = b.runs.find(({ seed }) => seed === run.seed);
    return other ? [run.loss - other.loss] : [];
  });
  if (differences.length === 0) return undefined;
  const { mean, sd, count } = spread(differences);
  const quantile = student[count - 2];
  return {
    mean,
    seeds: count,
    ...(sd !== undefined && quantile !== undefined && { halfWidth: (quantile * sd) / Math.sqrt(count) }),
  };
}

/** An arm against tuned Scratch at the same number of steps. */
export interface Row {
  readonly tuned: Tuned;
  /** FLOPs of the optimizer's own work, which those of a run leave out; 0 for AdamW. */
  readonly updateFlops: number;
  readonly difference?: Difference | undefined;
  /** FLOPs of the run over those of Scratch at the same tokens. */
  readonly flopsShare?: number | undefined;
  /** Its loss minus that of Scratch's frontier at as many FLOPs; one value per seed whose frontier holds them. */
  readonly equalFlops?: Spread | undefined;
  /** One minus its FLOPs over those with which Scratch's frontier reaches its loss; one value per seed that it holds. */
  readonly savingAtOwnLoss?: Spread | undefined;
  /** The same with the optimizer's own work. */
  readonly savingWithUpdates?: Spread | undefined;
  /** One minus the FLOPs with which the arm's frontier reaches Scratch's loss, over Scratch's; one value per seed. */
  readonly saving?: Spread | undefined;
  /** Seeds whose frontier does not hold Scratch's loss: it is above the arm's longest run, or below its shortest. */
  readonly outside: { readonly notReached: number; readonly below: number };
}

/** Rows of a kind and length, lowest loss first. */
export function rowsOf(records: readonly MapRecord[], kind: ModelKind, steps: number): Row[] {
  const own = records.filter((record) => record.kind === kind && record.steps === steps);
  const names = [...new Set(own.map(({ arm, optimizer }) => `${arm} ${optimizer}`))];
  const reference = tuned(records, { kind, arm: 'scratch', steps });
  return names
    .flatMap((name) => {
      const [arm = '', optimizer = ''] = name.split(' ');
      const best = tuned(records, { kind, arm, optimizer, steps });
      return best ? [{ tuned: best, ...against(records, kind, best, reference) }] : [];
    })
    .sort((a, b) => a.tuned.loss.mean - b.tuned.loss.mean);
}

function against(
  records: readonly MapRecord[],
  kind: ModelKind,
  own: Tuned,
  reference: Tuned | undefined,
): Omit<Row, 'tuned'> {
  const updateFlops = updateFlopsOf(own.runs[0]!);
  if (!reference || (own.arm === reference.arm && own.optimizer === reference.optimizer)) {
    return { updateFlops, outside: { notReached: 0, below: 0 } };
  }
  const frontier = frontierOf(records, kind, own);
  const savings: number[] = [];
  const outside = { notReached: 0, below: 0 };
  for (const { seed, loss, flops } of reference.runs) {
    const points = ofSeed(frontier, seed);
    if (points.length === 0) continue;
    const needed = flopsFor(points, loss);
    if (needed.kind === 'between') savings.push(1 - needed.flops / flops);
    else if (needed.kind === 'more') outside.notReached++;
    else outside.below++;
  }
  const scratch = frontierOf(records, kind, reference);
  const pointsOf = (seed: number) => ofSeed(scratch, seed);
  const equal = own.runs.flatMap(({ seed, loss, flops }) => {
    const theirs = lossFor(pointsOf(seed), flops);
    return theirs === undefined ? [] : [loss - theirs];
  });
  const savingsWith = (extraFlops: number) =>
    own.runs.flatMap(({ seed, loss, flops }) => {
      const points = pointsOf(seed);
      const needed = points.length > 0 ? flopsFor(points, loss) : undefined;
      return needed?.kind === 'between' ? [1 - (flops + extraFlops) / needed.flops] : [];
    });
  const ownSavings = savingsWith(0);
  return {
    updateFlops,
    difference: pairedDifference(own, reference),
    flopsShare: own.flops / reference.flops,
    ...(equal.length > 0 && { equalFlops: spread(equal) }),
    ...(ownSavings.length > 0 && {
      savingAtOwnLoss: spread(ownSavings),
      savingWithUpdates: spread(savingsWith(updateFlops)),
    }),
    ...(savings.length > 0 && { saving: spread(savings) }),
    outside,
  };
}

/**
 * The runs of one seed on a frontier; none where it lacks a length between its shortest and longest that other seeds have:
 * frontiers are convex, and a straight line over a missing run says that more FLOPs are needed than are.
 */
function ofSeed<Point extends { readonly seed: number; readonly steps: number }>(
  frontier: readonly Point[],
  seed: number,
): readonly Point[] {
  const own = frontier.filter((run) => run.seed === seed);
  const lengths = own.map(({ steps }) => steps);
  const [shortest, longest] = [Math.min(...lengths), Math.max(...lengths)];
  const isCoarse = frontier.some(({ steps }) => steps > shortest && steps < longest && !lengths.includes(steps));
  return isCoarse ? [] : own;
}

/** The runs of an arm at all lengths, each length at its best rate and schedule. */
export function frontierOf(
  records: readonly MapRecord[],
  kind: ModelKind,
  { arm, optimizer }: Pick<Tuned, 'arm' | 'optimizer'>,
): readonly (MapRecord & { readonly loss: number })[] {
  const lengths = [...new Set(records.filter((record) => record.arm === arm).map(({ steps }) => steps))];
  return lengths.sort((a, b) => a - b).flatMap((steps) => tuned(records, { kind, arm, optimizer, steps })?.runs ?? []);
}

export type Outcome = 'kept' | 'refuted' | 'open';

/** Outcome of a prediction, with the difference that decides it. */
export function outcomeOf(
  records: readonly MapRecord[],
  { kind, steps, arm, optimizer, against, againstOptimizer, againstSteps = steps, atMost, atLeast }: Prediction,
): { readonly outcome: Outcome; readonly difference?: Difference } {
  const own = tuned(records, { kind, arm, steps, ...(optimizer && { optimizer }) });
  const other = tuned(records, {
    ...{ kind, arm: against, steps: againstSteps },
    ...(againstOptimizer && { optimizer: againstOptimizer }),
  });
  const difference = own && other && pairedDifference(own, other);
  if (!difference) return { outcome: 'open' };
  const kept =
    (atMost === undefined || difference.mean <= atMost) && (atLeast === undefined || difference.mean >= atLeast);
  return { outcome: kept ? 'kept' : 'refuted', difference };
}
