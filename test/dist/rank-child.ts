/** One rank, for the tests of groups: `rank-child.ts TASK`. Writes what came of the task as rank-N.json into its folder. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { agreed, checkSame, firstThenOthers, fromFirst, type Group, openGroup } from '../../lib/dist/index.js';
import { ApolloError } from '../../lib/errors.js';
import type { TrainingCorpus, TrainOptions } from '../../lib/train/index.js';
import { contentsOf, countingCorpus, openTinyDevice, runTiny, tinyMethod } from '../train/tiny.js';
import { type OuterTask, onEngine } from './outer-network.js';
import { bertCorpus, bertModel } from './tiny-bert.js';

interface Task {
  readonly what: 'collectives' | 'outer' | 'train';
  readonly folder: string;
  readonly kind?: 'bert' | 'gpt';
  readonly method?: 'scratch' | 'apollo';
  readonly options?: Partial<TrainOptions>;
  /** Of Apollo, where its three stages begin. */
  readonly boundaries?: readonly number[];
  readonly checkpoints?: string;
  readonly outer?: OuterTask;
  /** The rank whose seed differs. */
  readonly odd?: number;
  /** The rank whose batches fail, at step 9. */
  readonly failing?: number;
}

const task = JSON.parse(process.argv[2]!) as Task;
const device = await openTinyDevice();

async function collectives(group: Group) {
  const { rank, size } = group;
  const failing = (failed: number) =>
    agreed(group, async () => {
      if (rank === failed) throw new ApolloError('BAD_CONFIG', 'this one');
      return rank;
    }).catch(({ code }: ApolloError) => code);
  return {
    rank,
    size,
    localRank: group.localRank,
    sum: await group.sum([rank, 0.1, 2 ** 40]),
    text: await Promise.all([group.broadcast(`ä ${rank}`, 0), group.broadcast(`${rank}`.repeat(rank), size - 1)]),
    outcomes: [await failing(-1), await failing(size - 1)],
    first: await fromFirst(group, async () => ({ rank })),
    others: await firstThenOthers(group, async () => rank),
    same: await checkSame(group, 'x', () => new ApolloError('INTERNAL', '')),
  };
}

const failingCorpus: TrainingCorpus = {
  ...countingCorpus,
  batch: (request) => {
    if (request.step === 9) throw new ApolloError('FILE_SYSTEM', 'the disk is gone');
    return countingCorpus.batch(request);
  },
};

async function train(group: Group) {
  const { kind = 'gpt', method = 'apollo', options = {}, boundaries = [6, 14], checkpoints } = task;
  const { steps: totalSteps = 24 } = options;
  const lines: string[] = [];
  const events = await runTiny(
    device,
    { ...options, ...(task.odd === group.rank && { seed: 6 }) },
    {
      group,
      ...(kind === 'bert' && { model: bertModel, corpus: bertCorpus }),
      method: method === 'scratch' ? method : tinyMethod({ totalSteps, boundaries: { steps: [...boundaries] } }),
      ...(task.failing === group.rank && { corpus: failingCorpus }),
      ...(checkpoints && { checkpointDir: checkpoints, resume: 'auto' }),
    },
  );
  for (const event of events) {
    if (event.type === 'step')
      lines.push(`${event.step} ${event.loss} ${event.gradNorm} ${event.depth} ${event.applied}`);
    if (event.type === 'growth') lines.push(`${event.step} grows to ${event.to}`);
    if (event.type === 'evaluation') lines.push(`${event.step} ${event.lossFull} ${event.lossStage}`);
  }
  const done = events.at(-1)!;
  if (done.type !== 'done') throw new Error('the run did not end');
  const contents = done.checkpoint && kind === 'gpt' ? await contentsOf(device, done.checkpoint) : undefined;
  const saved = events.flatMap((event) => (event.type === 'checkpoint' ? [event.step] : []));
  const losses = events.flatMap((event) => (event.type === 'step' ? [event.loss] : []));
  const tokensOfStep = 4 * 4 * 16; // four micro-batches of the tiny run
  const bytes = events.flatMap((event) => (event.type === 'step' ? [(event.bytesPerToken ?? 0) * tokensOfStep] : []));
  const bytesSent = events.flatMap((event) => (event.type === 'step' ? [event.bytesSent ?? 0] : []));
  const warnings = events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
  const { tokens, flopsModel, flopsExecuted, checkpoint } = done;
  return { lines, losses, bytes, bytesSent, warnings, contents, saved, tokens, flopsModel, flopsExecuted, checkpoint };
}

const group = await openGroup(device);
try {
  const outer = () => onEngine(device, group, task.outer!);
  const result = await { collectives, outer, train }[task.what](group);
  writeFileSync(join(task.folder, `rank-${group.rank}.json`), JSON.stringify(result));
  await group.close();
  await device.close();
} catch (error) {
  // The end of this rank makes mpirun end the others, so the one that says why goes first.
  if ((error as ApolloError).code === 'RANK_FAILED') await setTimeout(5000);
  else console.error(`rank ${group.rank}: ${(error as Error).message}`);
  process.exit(1);
}
