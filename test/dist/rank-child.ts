/** One rank, for the tests of groups: `rank-child.ts TASK`. Writes what came of the task as rank-N.json into its folder. */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import {
  agreed,
  checkSame,
  firstThenOthers,
  fromFirst,
  type Group,
  nativeGroupOf,
  openGroup,
  rankOf,
} from '../../lib/dist/index.js';
import { ApolloError } from '../../lib/errors.js';
import { createModel } from '../../lib/models/index.js';
import type { TrainingCorpus, TrainOptions } from '../../lib/train/index.js';
import { contentsOf, countingCorpus, openTinyDevice, runTiny, tinyMethod, tinyModel } from '../train/tiny.js';
import { type OuterTask, onEngine } from './outer-network.js';
import { bertCorpus, bertModel } from './tiny-bert.js';

interface Task {
  readonly what: 'abandoned' | 'begins' | 'collectives' | 'ended' | 'ofBuffers' | 'outer' | 'train';
  /** Lengths of the buffers, and how they are divided (of-buffers.ts). */
  readonly lengths?: readonly number[];
  readonly even?: boolean;
  readonly folder: string;
  readonly kind?: 'bert' | 'gpt' | 'wide';
  readonly method?: 'scratch' | 'apollo' | 'staged';
  readonly options?: Partial<TrainOptions>;
  /** For Apollo: the steps at which its three stages start. */
  readonly boundaries?: readonly number[];
  readonly checkpoints?: string;
  readonly outer?: OuterTask;
  /** The rank whose seed differs. */
  readonly odd?: number;
  /** The rank whose batches fail, at step 9. */
  readonly failing?: number;
}

const task = JSON.parse(process.argv[2]!) as Task;
const device = await openTinyDevice(rankOf(process.env).localRank);

const digestOf = (bytes: Uint8Array | Float32Array) => createHash('sha256').update(bytes).digest('hex');

/** Element i of a rank's buffer: sums of it depend on their order and are no bf16 numbers. */
const elementOf = (rank: number, i: number) => Math.fround((1 + rank * 0.37) * Math.sin(i + rank));

/** Buffers of these lengths with the rank's values. */
async function buffersOf(rank: number, lengths: readonly number[]) {
  const buffers = lengths.map((elements) => device.createBuffer('f32', elements));
  for (const buffer of buffers)
    await buffer.write(
      Float32Array.from({ length: buffer.elements }, (_, i) => elementOf(rank, i)),
      0,
    );
  return buffers;
}

const contents = async (buffers: Awaited<ReturnType<typeof buffersOf>>) =>
  Promise.all(buffers.map(async (buffer) => digestOf((await buffer.read(0, buffer.elements)) as Float32Array)));

/** Collectives on buffers: more elements than one message carries, and few. */
async function ofBuffers(ranks: Group) {
  const { rank, size } = ranks;
  const lengths = task.lengths!;
  const bounds = lengths.map((length) =>
    Array.from({ length: size + 1 }, (_, r) => Math.floor(length * (r / size) ** (task.even ? 1 : 2))),
  );
  const own = () => buffersOf(rank, lengths);
  const group = nativeGroupOf(ranks)!;
  const [all, rounded, scattered, gathered, sent] = [await own(), await own(), await own(), await own(), await own()];
  const bytes = [
    await group.allReduce(all, 'f32'),
    await group.allReduce(rounded, 'bf16'),
    await group.reduceScatter(scattered, bounds, 'f32'),
    await group.allGather(gathered, bounds),
  ];
  await group.broadcastBuffer(sent, size - 1);
  await group.barrier();
  const part = rank === 0 ? undefined : (await buffersOf(rank, [3 * rank]))[0]!;
  const counts = Array.from({ length: size }, (_, r) => 3 * r);
  const collected = [await group.collect(part, counts), await group.collect(part, counts, size - 1)];
  const doubles = device.createBuffer('i32', 4);
  await doubles.write(new Int32Array(Float64Array.of(rank + 2 ** -40, 1).buffer), 0);
  await group.sumDoubles(doubles);
  return {
    bytes,
    all: await contents(all),
    rounded: await contents(rounded),
    scattered: await contents(scattered),
    gathered: await contents(gathered),
    sent: await contents(sent),
    collected: collected.map((values) => [...values]),
    doubles: [...new Float64Array(((await doubles.read(0, 4)) as Int32Array).buffer)],
    refused: await group
      .allGather(gathered, bounds, new Int32Array(new SharedArrayBuffer(4)).fill(1))
      .catch(({ code }: { code: string }) => code),
  };
}

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

/** Its matrices are several pieces of those in which the optimizer's state is divided. */
const wideModel = createModel({ ...tinyModel.config, hidden: 160, ffn: 640 });

const failingCorpus: TrainingCorpus = {
  ...countingCorpus,
  batch: (request) => {
    if (request.step === 9) throw new ApolloError('FILE_SYSTEM', 'the disk is gone');
    return countingCorpus.batch(request);
  },
};

const { hidden, heads, ffn } = wideModel.config;
const half = { hidden: hidden / 2, heads: heads / 2, ffn: ffn / 2 };
const methods = {
  scratch: () => 'scratch' as const,
  apollo: tinyMethod,
  /** Grows in depth, then in width. */
  staged: () => ({
    method: 'staged' as const,
    options: {
      stages: [
        { trainedLayers: 2, shape: half, boundary: 0.25 },
        { trainedLayers: 4, shape: half, boundary: 0.5 },
        { trainedLayers: 4 },
      ],
    },
  }),
};

async function train(group: Group) {
  const { kind = 'gpt', method = 'apollo', options = {}, boundaries = [6, 14], checkpoints } = task;
  const { steps: totalSteps = 24 } = options;
  const lines: string[] = [];
  const { bufferBytes } = device.info();
  let stateBytes = Number.POSITIVE_INFINITY;
  const events = await runTiny(
    device,
    { ...options, ...(task.odd === group.rank && { seed: 6 }) },
    {
      group,
      ...(kind === 'bert' && { model: bertModel, corpus: bertCorpus }),
      ...(kind === 'wide' && { model: wideModel }),
      method: methods[method]({ totalSteps, boundaries: { steps: [...boundaries] } }),
      ...(task.failing === group.rank && { corpus: failingCorpus }),
      ...(checkpoints && { checkpointDir: checkpoints, resume: 'auto' }),
    },
    (event) => {
      if (event.type === 'growth') stateBytes = Number.POSITIVE_INFINITY;
      if (event.type === 'step') stateBytes = Math.min(stateBytes, device.info().bufferBytes - bufferBytes);
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
  const { checkpoint: last } = done;
  const contents = last && kind === 'gpt' ? await contentsOf(device, last) : undefined;
  const files = last && ['model', 'optimizer'].map((name) => digestOf(readFileSync(join(last, `${name}.safetensors`))));
  const warnings = events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
  const exchanged = events.flatMap((event) => ('exchanged' in event && event.exchanged ? [event.exchanged] : []));
  const bytes = events.flatMap((event) => (event.type === 'step' ? [event.bytesSent] : []));
  const saved = events.flatMap((event) => (event.type === 'checkpoint' ? [event.step] : []));
  const losses = events.flatMap((event) => (event.type === 'step' ? [event.loss] : []));
  const tokensOfStep = 4 * 4 * 16; // four micro-batches of the tiny run
  const bytesOfSteps = events.flatMap((event) =>
    event.type === 'step' ? [(event.bytesPerToken ?? 0) * tokensOfStep] : [],
  );
  const { tokens, flopsModel, flopsExecuted, checkpoint } = done;
  const own = { files, warnings, exchanged, bytes, bytesOfSteps, stateBytes };
  return { lines, losses, contents, saved, tokens, flopsModel, flopsExecuted, checkpoint, ...own };
}

/** What ends a run of which one rank (`odd`) cannot read its initial model; a rank that is still waiting after a minute ends the process. */
async function begins(group: Group) {
  const waiting = setTimeout(60_000, undefined, { ref: false }).then(() => {
    console.error(`rank ${group.rank} still waits`);
    process.exit(1);
  });
  const init = task.odd === group.rank ? join(task.folder, 'nowhere') : undefined;
  const ended = runTiny(device, task.options, { group, ...(init && { init }) }).catch(({ code }: ApolloError) => code);
  return { code: await Promise.race([ended, waiting]) };
}

/** What a group answers once it has been closed. */
async function ended(group: Group) {
  const native = nativeGroupOf(group)!;
  const [buffer] = await buffersOf(group.rank, [70]);
  await group.close();
  const calls = {
    sum: () => group.sum([1]),
    broadcast: () => group.broadcast('text', 0),
    barrier: () => native.barrier(),
    allReduce: () => native.allReduce([buffer!], 'f32'),
    broadcastBuffer: () => native.broadcastBuffer([buffer!], 0),
    collect: () => native.collect(undefined, new Array<number>(group.size).fill(0)),
    close: () => group.close(),
  };
  const messages: Record<string, string> = {};
  for (const [name, call] of Object.entries(calls))
    messages[name] = await (call() as Promise<unknown>).then(
      () => 'done',
      ({ code, message }: ApolloError) => `${code}: ${message}`,
    );
  return messages;
}

/** A rank that ends while it waits for the others, which do not come. */
async function abandoned(group: Group): Promise<never> {
  if (group.rank > 0) await setTimeout(120_000);
  nativeGroupOf(group)!
    .barrier()
    .catch(() => {});
  await setTimeout(300);
  process.exit(3);
}

const group = await openGroup(device);
try {
  const outer = () => onEngine(device, group, task.outer!);
  const result = await { abandoned, begins, collectives, ended, ofBuffers, outer, train }[task.what](group);
  writeFileSync(join(task.folder, `rank-${group.rank}.json`), JSON.stringify(result));
  if (task.what !== 'ended') await group.close();
  await device.close();
} catch (error) {
  // The end of this rank makes mpirun end the others, so the one that says why goes first.
  if ((error as ApolloError).code === 'RANK_FAILED') await setTimeout(5000);
  else console.error(`rank ${group.rank}: ${(error as Error).message}`);
  process.exit(1);
}
