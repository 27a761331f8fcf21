/** Checkpoints in parts: what ranks remove and keep, in two ranks of one process. */
import { mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { alone, type Group } from '../../../lib/dist/index.js';
import { removeOlderParts, setNewerPartsAside } from '../../../lib/train/checkpoint/rank-parts.js';

/** Two ranks whose collectives wait for each other. */
function twoRanks(): [Group, Group] {
  const waiting: [unknown[], unknown[]] = [[], []];
  const taken: [((value: unknown) => void)[], ((value: unknown) => void)[]] = [[], []];
  /** What both ranks gave in their next collective. */
  const exchanged = async (rank: 0 | 1, own: unknown): Promise<unknown[]> => {
    const other = rank === 0 ? 1 : 0;
    const take = taken[other].shift();
    if (take) take(own);
    else waiting[rank].push(own);
    const theirs =
      waiting[other].length > 0 ? waiting[other].shift() : await new Promise((resolve) => taken[rank].push(resolve));
    return rank === 0 ? [own, theirs] : [theirs, own];
  };
  const group = (rank: 0 | 1): Group => ({
    ...alone,
    rank,
    size: 2,
    sum: async (values) => {
      const [a, b] = (await exchanged(rank, values)) as [number[], number[]];
      return a.map((value, i) => value + b[i]!);
    },
    broadcast: async (text, root) => (await exchanged(rank, text))[root] as string,
  });
  return [group(0), group(1)];
}

const folderOf = (step: number) => `step-${String(step).padStart(8, '0')}`;

/** Writes the part of `step`, which `ranks` ranks wrote. */
async function put(directory: string, step: number, ranks = 2): Promise<void> {
  const folder = join(directory, folderOf(step));
  await mkdir(folder, { recursive: true });
  const state = {
    formatVersion: 1,
    step,
    stage: { index: 0, trainedLayers: 1 },
    layerMap: [0],
    identity: {},
    totals: { tokens: 0, flopsModel: 0, flopsExecuted: 0, trainMs: 0 },
    nonFiniteSteps: 0,
    evaluated: false,
    device: { kind: 'cpu', threads: 1 },
    local: { ranks, changed: [] },
    counts: {},
    files: {},
  };
  await writeFile(join(folder, 'state.json'), JSON.stringify(state));
}

const stepsIn = async (directory: string) =>
  (await readdir(directory)).filter((name) => name.startsWith('step-')).sort();

/** The steps of which each rank has a part after both removed the older ones. */
async function remaining(first: string, second: string, keep: number, keepAt: readonly number[] = []) {
  const [zero, one] = twoRanks();
  const kept = { keep, keepAt };
  await Promise.all([removeOlderParts(zero, first, kept), removeOlderParts(one, second, kept)]);
  return [await stepsIn(first), await stepsIn(second)];
}

async function directories(t: Test, own: readonly (readonly number[])[]): Promise<[string, string]> {
  const root = t.testdir();
  const both: [string, string] = [join(root, 'a'), join(root, 'b')];
  for (const [rank, directory] of both.entries()) {
    await mkdir(directory);
    for (const step of own[rank]!) await put(directory, step);
  }
  return both;
}

t.test('a part stays until every rank has a newer one', async (t) => {
  const [first, second] = await directories(t, [[4, 8], [4]]);
  t.same(await remaining(first, second, 1), [[folderOf(4), folderOf(8)], [folderOf(4)]]);
  await put(second, 8);
  t.same(await remaining(first, second, 1), [[folderOf(8)], [folderOf(8)]]);
});

t.test('an incomplete checkpoint does not count as one that is kept', async (t) => {
  const [first, second] = await directories(t, [
    [2, 4, 8, 12],
    [2, 4, 12],
  ]);
  const steps = [4, 12].map(folderOf);
  t.same(await remaining(first, second, 2), [steps, steps]);
});

t.test('parts after the newest complete checkpoint stay, and do not count', async (t) => {
  const [first, second] = await directories(t, [
    [2, 4, 6],
    [2, 4, 6, 8],
  ]);
  t.same(await remaining(first, second, 2), [[4, 6].map(folderOf), [4, 6, 8].map(folderOf)]);
});

t.test('steps to keep stay, and so does a checkpoint of another number of ranks', async (t) => {
  const [first, second] = await directories(t, [
    [2, 4, 12],
    [2, 4, 12],
  ]);
  await put(first, 8, 1);
  t.same(await remaining(first, second, 2, [2]), [[2, 8, 12].map(folderOf), [2, 12].map(folderOf)]);
  await put(first, 16, 4);
  await put(second, 16, 4);
  t.same(await remaining(first, second, 1), [[folderOf(16)], [folderOf(16)]]);
});

t.test('a folder that cannot be read removes nothing, and no rank waits', async (t) => {
  const [first, second] = await directories(t, [
    [4, 8],
    [4, 8],
  ]);
  await rm(second, { recursive: true });
  await symlink('b', second); // ELOOP
  const [zero, one] = twoRanks();
  const outcomes = await Promise.allSettled([
    removeOlderParts(zero, first, { keep: 1 }),
    removeOlderParts(one, second, { keep: 1 }),
  ]);
  t.match(outcomes, [{ status: 'fulfilled' }, { status: 'rejected', reason: { code: 'FILE_SYSTEM' } }]);
  t.same(await stepsIn(first), [4, 8].map(folderOf));
});

t.test('newer parts than the step to continue from are set aside', async (t) => {
  const [first] = await directories(t, [[4, 6, 8], []]);
  await setNewerPartsAside(first, 4);
  t.same((await readdir(first)).sort(), ['damaged-step-00000006', 'damaged-step-00000008', 'step-00000004']);
});
