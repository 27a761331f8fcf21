import t from 'tap';
import { analyse, spread } from '../../lib/report/aggregate.js';
import { comparison, record } from './curves.js';

t.test('spread: mean, sample standard deviation, least and greatest', async (t) => {
  t.same(spread([2, 4, 6]), { count: 3, mean: 4, sd: 2, min: 2, max: 6 });
  t.same(spread([5]), { count: 1, mean: 5, min: 5, max: 5 }, 'one value has no deviation');
  t.throws(() => spread([]), { code: 'BAD_ARGUMENT' });
});

t.test('one seed: the saving is the worked example', async (t) => {
  const analysis = analyse(
    comparison([
      record('scratch', 1, [
        [1.0, 3.5],
        [1.8, 3.04],
        [1.9, 3.04],
        [2.0, 3.04],
      ]),
      record('apollo', 1, [
        [1.0, 3.1],
        [1.2, 3.0],
        [1.4, 2.9],
      ]),
    ]),
  );
  t.ok(Math.abs(analysis.target - 3.04) < 1e-12);
  const apollo = analysis.methods.find((entry) => entry.method === 'apollo');
  t.ok(Math.abs(apollo!.saving!.flopsModel.mean - 0.44) < 1e-12);
  t.ok(Math.abs(apollo!.saving!.trainMs.mean - 0.44) < 1e-12);
  t.equal(apollo!.saving!.flopsModel.sd, undefined);
  t.ok(analysis.complete);
});

t.test('several seeds: the target is the mean of the seeds, and each seed also has its own', async (t) => {
  const flat = (loss: number): [number, number][] => [
    [1, 5],
    [8, loss],
    [9, loss],
    [10, loss],
  ];
  const analysis = analyse(
    comparison([
      record('scratch', 1, flat(2)),
      record('scratch', 2, flat(3)),
      record('apollo', 1, [
        [4, 4],
        [6, 2],
      ]),
      record('apollo', 2, [
        [4, 3],
        [6, 2],
      ]),
    ]),
  );
  t.equal(analysis.target, 2.5);
  const apollo = analysis.methods[1]!;
  // Crossings of 2.5: seed 1 at 4 + 2 * 1.5 / 2 = 5.5, seed 2 at 4 + 2 * 0.5 = 5. Scratch spends 10.
  t.same(
    apollo.seeds.map((seed) => seed.saving?.flopsModel.toFixed(6)),
    ['0.450000', '0.500000'],
  );
  t.ok(Math.abs(apollo.saving!.flopsModel.mean - 0.475) < 1e-12);
  t.ok(Math.abs(apollo.saving!.flopsModel.sd! - Math.sqrt(0.00125)) < 1e-12);
  // Own targets: seed 1 reaches 2 at 6, seed 2 reaches 3 at 4.
  t.same(
    apollo.seeds.map((seed) => seed.savingOfSeed?.flopsModel.toFixed(6)),
    ['0.400000', '0.600000'],
  );
});

t.test('a method that misses the target with one seed claims no mean', async (t) => {
  const analysis = analyse(
    comparison([
      record('scratch', 1, [[10, 2]]),
      record('scratch', 2, [[10, 2]]),
      record('apollo', 1, [[5, 1.5]]),
      record('apollo', 2, [[5, 2.25]]),
    ]),
  );
  const apollo = analysis.methods[1]!;
  t.equal(apollo.saving, undefined);
  t.equal(apollo.reached, 1);
  t.same(apollo.gap, { count: 1, mean: 0.25, min: 0.25, max: 0.25 });
});

t.test('runs without an evaluation are left out, and a comparison without a reference is refused', async (t) => {
  const analysis = analyse(
    comparison([record('scratch', 1, [[10, 2]]), { ...record('apollo', 1, []), finished: false }]),
  );
  t.equal(analysis.methods.length, 1);
  t.notOk(analysis.complete);
  t.throws(() => analyse(comparison([record('apollo', 1, [[5, 2]])])), { code: 'BAD_ARGUMENT', message: /scratch/ });
});

t.test('an unfinished seed is left out as soon as another is finished', async (t) => {
  const flat = (loss: number): [number, number][] => [
    [8, loss],
    [9, loss],
    [10, loss],
  ];
  const under = { ...record('apollo', 2, [[1, 9]]), finished: false };
  const runs = [record('scratch', 1, flat(2)), record('apollo', 1, flat(1)), record('scratch', 2, flat(4)), under];
  const both = analyse(comparison(runs));
  t.equal(both.target, 2, 'seed 2 is left out, also of the reference');
  t.same(
    both.methods.map(({ seeds }) => seeds.map(({ seed }) => seed)),
    [[1], [1]],
  );
  t.notOk(both.complete);
  const alone = analyse(comparison(runs.slice(2)));
  t.equal(alone.target, 4, 'without a finished seed the one under way is shown');
  t.equal(alone.methods.length, 2);
});
