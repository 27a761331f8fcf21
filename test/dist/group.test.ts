/** Groups of processes that mpirun starts: their collectives, and that they train as one rank does. */
import { join } from 'node:path';
import t from 'tap';
import { alone, openGroup } from '../../lib/dist/index.js';
import { temporaryFolder } from '../cli/support.js';
import { openTinyDevice } from '../train/tiny.js';
import { noMpi, runRanks, type Trained } from './mpirun.js';
import { buffersTask, checkBuffers, type OfBuffers } from './of-buffers.js';

const folder = temporaryFolder();

t.test('a rank that cannot read its initial model ends the others', { skip: noMpi }, async (t) => {
  for (const odd of [0, 1]) {
    const at = join(folder, `begins-${odd}`);
    const { results, err } = await runRanks<{ code: string }>(2, at, {
      what: 'begins',
      odd,
      options: { evaluateEvery: 0 },
    });
    t.same(
      results.map(({ code }) => code),
      odd === 0 ? ['BAD_CHECKPOINT', 'RANK_FAILED'] : ['RANK_FAILED', 'BAD_CHECKPOINT'],
      err,
    );
  }
});

t.test('without a launcher a process is a group of one', async (t) => {
  const device = await openTinyDevice();
  t.equal(await openGroup(device, {}), alone);
  t.same(await alone.sum([1, 2]), [1, 2]);
  t.equal(await alone.broadcast('text', 0), 'text');
  await device.close();
});

for (const ranks of [2, 4]) {
  t.test(`the collectives of ${ranks} ranks`, { skip: noMpi }, async (t) => {
    const { results, err } = await runRanks<Record<string, unknown>>(ranks, join(folder, `c${ranks}`), {
      what: 'collectives',
    });
    t.equal(results.length, ranks, err);
    const last = ranks - 1;
    for (const [rank, result] of results.entries()) {
      t.match(result, { rank, size: ranks, localRank: rank, first: { rank: 0 }, others: rank });
      t.same((result['sum'] as number[])[0], (ranks * last) / 2);
      t.same((result['sum'] as number[])[2], ranks * 2 ** 40);
      t.same(result['text'], ['ä 0', `${last}`.repeat(last)]);
      t.same(result['outcomes'], [rank, rank === last ? 'BAD_CONFIG' : 'RANK_FAILED']);
    }
  });
}

for (const ranks of [2, 3]) {
  t.test(`collectives of ${ranks} ranks on engine buffers`, { skip: noMpi }, async (t) => {
    const { results, err } = await runRanks<OfBuffers>(ranks, join(folder, `b${ranks}`), buffersTask());
    t.equal(results.length, ranks, err);
    checkBuffers(t, results);
  });
}

t.test('a group that was closed says so', { skip: noMpi }, async (t) => {
  const { results, err } = await runRanks<Record<string, string>>(2, join(folder, 'ended'), { what: 'ended' });
  t.equal(results.length, 2, err);
  for (const messages of results) {
    t.equal(Object.keys(messages).length, 7);
    for (const [call, message] of Object.entries(messages))
      t.match(message, /^(GROUP_FAILED|APOLLO_GROUP): the group of ranks has ended$/, call);
  }
});

const long = { steps: 100, batch: 2, evaluateEvery: 0, learningRate: 1e-3 };

for (const kind of ['gpt', 'bert'] as const) {
  for (const method of ['scratch', 'apollo'] as const) {
    t.test(`${kind}, ${method}: ranks train as one with as many micro-batches`, { skip: noMpi }, async (t) => {
      const train = async (ranks: number) => {
        const task = { what: 'train', kind, method, boundaries: [25, 55] };
        const options = { ...long, accumulation: 4 / ranks };
        const at = join(folder, `${kind}-${method}-${ranks}`);
        const { results, err } = await runRanks<Trained>(ranks, at, { ...task, options });
        t.equal(results.length, ranks, err);
        for (const { lines } of results) t.same(lines, results[0]!.lines, 'all ranks report the same bits');
        return results[0]!;
      };
      const one = await train(1);
      t.equal(one.losses.length, 100);
      for (const ranks of [2, 4]) {
        const several = await train(ranks);
        const far = several.losses.map((loss, step) => Math.abs(loss / one.losses[step]! - 1));
        t.ok(Math.max(...far) < 1e-6, `${ranks} ranks: ${Math.max(...far)}`);
        t.equal(several.tokens, one.tokens);
        t.equal(several.flopsExecuted, one.flopsExecuted);
      }
    });
  }
}

t.test('the same bits twice, and only the first rank writes', { skip: noMpi }, async (t) => {
  const train = (name: string) =>
    runRanks<Trained>(2, join(folder, name), { what: 'train', checkpoints: join(folder, name, 'checkpoints') });
  const [one, two] = [await train('first'), await train('second')];
  t.equal(one.results.length, 2, one.err);
  t.same(one.results[0]!.lines, two.results[0]!.lines);
  t.ok(one.results[0]!.contents);
  t.equal(one.results[0]!.contents, two.results[0]!.contents);
  t.equal(one.results[1]!.checkpoint, undefined);
});

t.test('a budget of tokens counts those of all ranks', { skip: noMpi }, async (t) => {
  const options = { evaluateEvery: 0, stopAfter: { tokens: 1000 } }; // 2 ranks x 2 x 4 x 16 tokens a step
  const { results, err } = await runRanks<Trained>(2, join(folder, 'tokens'), { what: 'train', options });
  t.equal(results.length, 2, err);
  for (const { losses, tokens } of results) t.same([losses.length, tokens], [4, 1024]);
});

t.test('a rank with other settings is one clear error', { skip: noMpi }, async (t) => {
  const { code, err } = await runRanks(2, join(folder, 'odd'), { what: 'train', odd: 1 });
  t.not(code, 0);
  t.equal(err.match(/other settings/g)?.length, 1, err);
  t.match(err, /rank 1: This rank was started with other settings than rank 0:\n {2}seed: 6, on rank 0 5\n/);
});

t.test('checkpoints by time are those of the first rank, and its clock', { skip: noMpi }, async (t) => {
  const at = join(folder, 'clock');
  const options = { checkpointMinutes: 1e-6, keepCheckpoints: 3 };
  const task = { what: 'train', options, checkpoints: join(at, 'checkpoints') };
  const { results, err } = await runRanks<Trained>(2, at, task);
  t.equal(results.length, 2, err);
  t.ok(results[0]!.saved.length > 3, `${results[0]!.saved}`);
  t.same(results[1]!.saved, []);
  t.same(results[0]!.lines, results[1]!.lines);
});

t.test('a rank that fails in a step ends all, and it alone says why', { skip: noMpi }, async (t) => {
  const { code, err } = await runRanks(2, join(folder, 'failing'), { what: 'train', failing: 1 });
  t.not(code, 0);
  t.match(err, /rank 1: the disk is gone/);
  t.notMatch(err, /rank 0:/);
});
