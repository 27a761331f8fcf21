/** Training with little communication: outer steps against plain f64, and runs of ranks with their own weights. */
import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { alone } from '../../lib/dist/index.js';
import { readCheckpointState } from '../../lib/train/index.js';
import { temporaryFolder } from '../cli/support.js';
import { contentsOf, openTinyDevice, runTiny, tinyMethod } from '../train/tiny.js';
import type { Trained } from './mpirun.js';
import { noMpi, runRanks } from './mpirun.js';
import { golden, type OuterRounds, type OuterTask, onEngine } from './outer-network.js';

const folder = temporaryFolder();
const task: OuterTask = { every: 4, outerSteps: 5, learningRate: 0.7, momentum: 0.9 };

function furthest(a: readonly (readonly number[])[], b: readonly (readonly number[])[]): number {
  return Math.max(...a.flatMap((row, i) => row.map((value, j) => Math.abs(value - b[i]![j]!))));
}

t.test('outer steps of one rank are those of plain f64', async (t) => {
  const device = await openTinyDevice();
  const { common, own, bytesSent } = await onEngine(device, alone, task);
  const expected = golden(1, task);
  t.equal(common.length, 5);
  t.ok(furthest(common, expected) < 2e-5, `${furthest(common, expected)}`);
  t.ok(furthest(common, own) > 1e-2, 'momentum moves the weights further than the steps did');
  t.same(bytesSent, [0, 0, 0, 0, 0]);
  await device.close();
});

for (const ranks of [2, 4]) {
  t.test(`outer steps of ${ranks} ranks are those of plain f64`, { skip: noMpi }, async (t) => {
    const at = join(folder, `golden-${ranks}`);
    const { results, err } = await runRanks<OuterRounds>(ranks, at, { what: 'outer', outer: task });
    t.equal(results.length, ranks, err);
    const expected = golden(ranks, task);
    for (const { common, bytesSent } of results) {
      t.same(common, results[0]!.common, 'the same bits on all ranks');
      t.ok(furthest(common, expected) < 2e-5, `${furthest(common, expected)}`);
      t.same(new Set(bytesSent), new Set([2 * (ranks - 1) * 32 * 4]), 'of 32 weights, all ranks together');
    }
    t.ok(furthest(results[0]!.own, results[1]!.own) > 1e-3, 'between outer steps the ranks differ');
    t.ok(furthest(golden(1, task), expected) > 1e-3, 'as do the results of other numbers of ranks');
  });
}

t.test('with an outer rate of 1 and no momentum the weights are averaged', { skip: noMpi }, async (t) => {
  const outer = { every: 1, outerSteps: 12, learningRate: 1, momentum: 0 };
  const { results, err } = await runRanks<OuterRounds>(2, join(folder, 'mean'), { what: 'outer', outer });
  t.equal(results.length, 2, err);
  const { common, mean, own } = results[0]!;
  t.ok(furthest(common, mean) < 2.5e-7, `${furthest(common, mean)}`);
  t.ok(furthest(own, mean) > 1e-3);
});

t.test('one rank: outer steps that do nothing leave the run as it is', async (t) => {
  const device = await openTinyDevice();
  const losses = async (options: object) =>
    (await runTiny(device, options)).flatMap((event) => (event.type === 'step' ? [event.loss] : []));
  const plain = await losses({});
  const [still, moved] = [
    await losses({ syncEvery: 3, outerLearningRate: 1, outerMomentum: 0 }),
    await losses({ syncEvery: 3 }),
  ];
  const far = (other: readonly number[]) => Math.max(...plain.map((loss, i) => Math.abs(other[i]! / loss - 1)));
  t.ok(far(still) < 1e-5, `${far(still)}`);
  t.ok(far(moved) > 1e-3, 'the default rate and momentum do something');
  await device.close();
});

t.test('evaluations and checkpoints wait for the end of a round, which a stage ends too', async (t) => {
  const device = await openTinyDevice();
  const options = { syncEvery: 5, evaluateEvery: 8, checkpointEvery: 7, keepAt: [3], keepCheckpoints: 9 };
  const events = await runTiny(device, options, { checkpointDir: join(folder, 'rounds') });
  const steps = (type: string) => events.flatMap((event) => (event.type === type ? [event.step] : []));
  t.same(steps('growth'), [6, 14]);
  t.same(steps('evaluation'), [0, 10, 20, 24], 'for 8, 16 and 24');
  t.same(steps('checkpoint'), [5, 10, 14, 24], 'for 3, 7, 14 and 21');
  t.ok(existsSync(join(folder, 'rounds/step-00000005')));
  await device.close();
});

const options = { syncEvery: 5, evaluateEvery: 8 };
const train = (ranks: number, name: string, more: object = {}) => {
  const { options: changed = {}, ...rest } = more as { options?: object };
  const checkpoints = join(folder, name, 'checkpoints');
  const accumulation = 4 / ranks;
  const all = { ...options, accumulation, ...changed };
  return runRanks<Trained>(ranks, join(folder, name), { what: 'train', checkpoints, options: all, ...rest });
};

t.test('ranks of a run have the same losses and end with the same weights', { skip: noMpi }, async (t) => {
  const { results, err } = await train(2, 'same');
  t.equal(results.length, 2, err);
  const [one, two] = results as [Trained, Trained];
  t.same(one.losses, two.losses);
  const others = (lines: readonly string[]) => lines.filter((line) => line.split(' ').length < 5);
  t.same(others(one.lines), others(two.lines), 'evaluations and growths');
  t.not(one.lines.join(), two.lines.join(), 'norms of gradients are those of each rank');
  t.ok(Math.min(...one.losses.slice(-5)) < one.losses[0]! - 0.1, 'it learns');
  const state = await readCheckpointState(one.checkpoint!);
  t.same(state.local, { ranks: 2, changed: [] });
  const outer = one.bytesOfSteps.filter((bytes) => bytes > 1000);
  const ends = [5, 6, 10, 14, 15, 20, 24]; // rounds of 5 steps, stages from 6 and 14 on
  t.same(
    one.bytesOfSteps.flatMap((bytes, i) => (bytes > 1000 ? [i + 1] : [])),
    ends,
  );
  t.ok(outer[0]! < outer[2]! && outer[2]! < outer[4]!, `shallow stages send less: ${outer.join(' ')}`);
  t.same(
    new Set(one.bytesOfSteps.filter((bytes) => bytes <= 1000)),
    new Set([2 * 8]),
    'the loss and its guard in between',
  );
  t.equal(
    one.bytes.at(-1),
    one.bytesOfSteps.reduce((sum, bytes) => sum + bytes, 0),
  );
});

t.test('a run that ends within a round resumes to the same bits', { skip: noMpi }, async (t) => {
  const whole = await train(2, 'whole');
  t.equal(whole.results.length, 2, whole.err);
  const first = await train(2, 'cut', { options: { stopAfter: { steps: 12 } } });
  t.equal(first.results.length, 2, first.err);
  const state = await readCheckpointState(first.results[0]!.checkpoint!);
  t.equal(state.step, 12);
  t.ok(state.local!.changed.length > 10, 'within a round');
  t.ok(existsSync(join(folder, 'cut/checkpoints/rank-1/step-00000012/model.safetensors')));
  const second = await train(2, 'cut');
  t.equal(second.results.length, 2, second.err);
  for (const rank of [0, 1]) {
    const lines = [first, second].flatMap(({ results }) => results[rank]!.lines);
    t.same(lines, whole.results[rank]!.lines);
    t.same(second.results[rank]!.bytes.at(-1), whole.results[rank]!.bytes.at(-1));
  }
  t.equal(second.results[0]!.contents, whole.results[0]!.contents);
  const device = await openTinyDevice();
  const ofSecondRank = (name: string) => contentsOf(device, join(folder, name, 'checkpoints/rank-1/step-00000024'));
  t.equal(await ofSecondRank('cut'), await ofSecondRank('whole'));
  await device.close();
});

t.test('other numbers of ranks resume, with a warning', { skip: noMpi }, async (t) => {
  const first = await train(2, 'regrouped', { options: { stopAfter: { steps: 12 } } });
  t.equal(first.results.length, 2, first.err);
  for (const ranks of [1, 4]) {
    const name = `regrouped-${ranks}`;
    cpSync(join(folder, 'regrouped/checkpoints'), join(folder, name, 'checkpoints'), { recursive: true });
    const { results, err } = await train(ranks, name);
    t.equal(results.length, ranks, err);
    t.match(results[0]!.warnings.join(), new RegExp(`written by 2 ranks; this is ${ranks}\\..*bits differ`));
    t.equal(
      /The steps of ranks 1 to 1 since the last outer step are lost/.test(results[0]!.warnings.join()),
      ranks === 1,
    );
    t.equal(results[0]!.losses.length, 12);
    t.same((await readCheckpointState(results[0]!.checkpoint!)).local, { ranks, changed: [] });
  }
});

t.test('without what a rank keeps, an older checkpoint is taken', { skip: noMpi }, async (t) => {
  const cut = { options: { checkpointEvery: 5, stopAfter: { steps: 12 } } };
  t.equal((await train(2, 'gone', cut)).results.length, 2);
  const checkpoints = join(folder, 'gone/checkpoints');
  rmSync(join(checkpoints, 'rank-1/step-00000012'), { recursive: true });
  const { results, err } = await train(2, 'gone');
  t.equal(results.length, 2, err);
  t.equal(results[0]!.losses.length, 14, 'from step 10');
  t.match(results[0]!.warnings.join(), /step-00000012 is damaged: the part of rank 1/);
  t.ok(readdirSync(checkpoints).includes('damaged-step-00000012'));
});

t.test(
  'a part of a checkpoint that another rank never completed does not push out a whole one',
  { skip: noMpi },
  async (t) => {
    const changed = (steps: number) => ({ options: { checkpointEvery: 5, stopAfter: { steps } } });
    t.equal((await train(2, 'ahead', changed(12))).results.length, 2);
    const checkpoints = join(folder, 'ahead/checkpoints');
    const ofRank = (rank: number) =>
      readdirSync(rank === 0 ? checkpoints : join(checkpoints, `rank-${rank}`))
        .filter((name) => /step-/.test(name))
        .sort();
    const both = ['step-00000010', 'step-00000012'];
    t.same([ofRank(0), ofRank(1)], [both, both], 'two are kept');
    rmSync(join(checkpoints, 'step-00000012'), { recursive: true }); // as if rank 0 had died while it wrote
    const second = await train(2, 'ahead', changed(11));
    t.equal(second.results.length, 2, second.err);
    t.same(ofRank(0), ['step-00000010', 'step-00000011']);
    t.same(ofRank(1), ['damaged-step-00000012', 'step-00000010', 'step-00000011']);
    rmSync(join(checkpoints, 'step-00000011/model.safetensors'));
    const third = await train(2, 'ahead', { options: { stopAfter: { steps: 13 }, keepCheckpoints: 1 } });
    t.equal(third.results.length, 2, third.err);
    t.equal(third.results[0]!.losses.length, 3, 'from step 10');
    t.same(ofRank(0), ['damaged-step-00000011', 'step-00000013']);
    t.same(ofRank(1), ['damaged-step-00000011', 'damaged-step-00000012', 'step-00000013']);
  },
);

t.test('settings of outer steps that say nothing are refused', async (t) => {
  const device = await openTinyDevice();
  for (const odd of [{ outerMomentum: 0.5 }, { outerLearningRate: 0.5 }]) {
    await t.rejects(runTiny(device, odd), { code: 'BAD_CONFIG', message: /train.syncEvery, .* is missing/ });
  }
  await t.rejects(runTiny(device, { syncEvery: 2, outerMomentum: 1 }), { message: /outerMomentum/ });
  await device.close();
});

t.test('rounds are part of a run’s identity', async (t) => {
  const device = await openTinyDevice();
  const checkpointDir = join(folder, 'identity');
  await runTiny(device, { syncEvery: 4, stopAfter: { steps: 8 } }, { checkpointDir });
  const resumed = runTiny(device, { syncEvery: 6 }, { checkpointDir, resume: true, method: tinyMethod() });
  await t.rejects(resumed, { code: 'BAD_CONFIG', message: /syncEvery: 6, was 4/ });
  await device.close();
});
