/**
 * Annealed end-points of one run: short decays that branch off the checkpoints it kept at a constant learning rate. Each
 * ends as a run of that length with its own decay would, for a fraction of the cost (Hägele et al. 2024).
 */
import { join } from 'node:path';
import { ApolloError } from '../errors.js';
import * as is from '../is.js';
import { type CheckpointFolder, latestCheckpoint, listCheckpoints } from './checkpoint/checkpoint-folder.js';
import { resolveConfig, type TrainOptions } from './config.js';
import type { TrainDependencies } from './dependencies.js';
import type { TrainEvent } from './events.js';
import { train } from './loop.js';
import { type DecayShape, decayShapeNames, decaySteps } from './schedule.js';

/** Where decays end, and how long they take. */
export interface AnnealOptions {
  /** Where the decays end: steps of the run, each above 1, or shares of it in (0, 1]. */
  readonly at: readonly number[];
  /** Share of the steps up to an end-point that its decay takes; above 0, at most 1. Default: 0.2. */
  readonly decay?: number;
  /** How the learning rate falls to 0 in the decays. Default: 'linear'. */
  readonly shape?: DecayShape;
}

/** What {@link anneal} works with: that of the run, its checkpoints, and a folder for the end-points. */
export interface AnnealDependencies
  extends Omit<TrainDependencies, 'checkpointDir' | 'branchFrom' | 'resume' | 'store'> {
  /** Checkpoints of the run that the decays branch off. */
  readonly trunk: string;
  /** Each end-point has a folder with its checkpoints here, named by `annealFolder`. */
  readonly out: string;
}

/** An event of the decay that ends at step `end`. */
export interface AnnealEvent {
  /** Step at which the decay ends, which names its folder. */
  readonly end: number;
  /** The event of the decay's own run, as `train` reports it. */
  readonly event: TrainEvent;
}

/** Folder of an end-point within `out`. */
export function annealFolder(end: number): string {
  return `end-${String(end).padStart(8, '0')}`;
}

/**
 * The steps at which decays end, shortest first. `setting`: what the user calls `at`.
 * @example endSteps(8000, [0.25, 1]) // [2000, 8000]
 * @throws ApolloError BAD_ARGUMENT for a value outside the run, naming the setting.
 */
export function endSteps(steps: number, at: readonly number[], setting = 'at'): number[] {
  const ends = at.map((value) => {
    const end = value <= 1 ? Math.round(value * steps) : value;
    if (Number.isSafeInteger(end) && end >= 1 && end <= steps) return end;
    throw new ApolloError(
      'BAD_ARGUMENT',
      `${setting}: expected shares of the run in (0, 1] or steps from 2 to ${steps}; got ${value}.`,
    );
  });
  return [...new Set(ends)].sort((a, b) => a - b);
}

/** The first step of each decay: a checkpoint kept there saves the steps in between. */
export function branchSteps(steps: number, { at, decay = 0.2 }: AnnealOptions): number[] {
  return endSteps(steps, at).map((end) => end - decaySteps(end, decay));
}

const takesAnneal = is.takes('anneal', {
  options: is.record,
  decays: is.options({
    at: is.list(is.number, { least: 1 }),
    decay: is.optional(is.number),
    shape: is.optional(is.oneOf(...decayShapeNames)),
  }),
  deps: is.object('dependencies { device, model, method, corpus, trunk, out }', { trunk: is.path, out: is.path }),
});

/**
 * Trains the decays one after the other and reports their events; an end-point that is complete in `out` only reports
 * `start` and `done`, one that was cut resumes. `options` are those of the run itself. A decay starts from the newest
 * checkpoint at or before its first step and trains at the constant rate up to there, so the bits do not depend on which
 * checkpoints were kept.
 * @param options Settings of the run that the decays branch off, as `train` took them.
 * @param decays Where the decays end, how long they take, and the shape of the learning rate.
 * @param deps Device, model, method and corpus of the run, its checkpoints, and the folder for the end-points.
 * @example
 * const deps = { device, model, method: 'auto', corpus: trainingCorpus(corpus), trunk: 'runs/gpt/checkpoints', out: 'runs/gpt/anneal' } as const;
 * for await (const { end, event } of anneal({ steps: 1000, batch: 8, seq: 128, schedule: 'constant' }, { at: [0.5, 1] }, deps)) {
 *   if (event.type === 'evaluation') console.log(end, event.lossFull);
 * }
 * @throws ApolloError BAD_CHECKPOINT when no checkpoint is old enough, BAD_CONFIG when the schedule of the run is not
 * constant before a decay; and what `train` throws.
 */
export function anneal(
  options: TrainOptions,
  decays: AnnealOptions,
  deps: AnnealDependencies,
): AsyncGenerator<AnnealEvent, void, void> {
  takesAnneal(options, decays, deps);
  return annealEvents(options, decays, deps);
}

async function* annealEvents(
  options: TrainOptions,
  { at, decay = 0.2, shape = 'linear' }: AnnealOptions,
  { trunk, out, ...deps }: AnnealDependencies,
): AsyncGenerator<AnnealEvent, void, void> {
  const { stopAfter: _, ...whole } = options; // a budget of the run, which the decays have behind them
  resolveConfig(whole);
  const annealed = endSteps(options.steps, at).map((end) => {
    const own = { ...whole, anneal: { end, share: decay, shape } };
    resolveConfig(own); // every end-point is checked before the first is trained
    return { end, own };
  });
  for (const { end, own } of annealed) {
    // In a group the signal of one rank ends the decay of all of them, and `done` tells each.
    if (deps.signal?.aborted && (deps.group?.size ?? 1) === 1) return;
    const checkpointDir = join(out, annealFolder(end));
    const started = (await latestCheckpoint(checkpointDir)) !== undefined;
    const branchFrom = started ? undefined : (await checkpointBefore(trunk, end - decaySteps(end, decay), end)).path;
    for await (const event of train(own, { ...deps, checkpointDir, branchFrom, resume: 'auto' })) {
      yield { end, event };
      if (event.type === 'done' && event.aborted) return;
    }
  }
}

async function checkpointBefore(directory: string, step: number, end: number): Promise<CheckpointFolder> {
  const checkpoints = await listCheckpoints(directory);
  const found = checkpoints.findLast((checkpoint) => checkpoint.step <= step);
  if (found) return found;
  const kept = checkpoints.map((checkpoint) => checkpoint.step).join(', ') || 'none';
  throw new ApolloError(
    'BAD_CHECKPOINT',
    `A decay that ends at step ${end} needs a checkpoint of step ${step} or earlier; ${directory} has: ${kept}. ` +
      `Train the run with keepAt (--keep-at ${step}), or choose later end-points.`,
  );
}
