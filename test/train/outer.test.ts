/** Where the rounds of a run end, and what is due there. */
import t from 'tap';
import { resolveConfig } from '../../lib/train/config.js';
import { outerOptionsOf, Rounds } from '../../lib/train/outer.js';

/** Rounds of 5 in 24 steps, with stages from 6 and 14 on. Any outer step will do: none is done. */
const options = { every: 5, end: 24, stageOf: (step: number) => (step < 6 ? 0 : step < 14 ? 1 : 2) };
const rounds = new Rounds(options, {} as never);
const steps = Array.from({ length: 25 }, (_, step) => step);

t.test('a round ends every N steps, with its stage and with the run', async (t) => {
  t.same(
    steps.filter((step) => !rounds.isOpen(step)),
    [0, 5, 6, 10, 14, 15, 20, 24],
  );
  t.same(
    [1, 5, 7, 11, 16, 23, 24].map((step) => rounds.endOf(step)),
    [5, 5, 10, 14, 20, 24, 24],
  );
});

t.test('what is due within a round is due at its end, once', async (t) => {
  const ends = steps.filter((step) => step > 0 && !rounds.isOpen(step));
  t.same(
    ends.filter((step) => rounds.isDue(8, step)),
    [10, 20, 24],
    'for 8, 16 and 24',
  );
  t.same(
    ends.filter((step) => rounds.isDue(2, step)),
    ends.filter((step) => step !== 15),
    'none of the steps between 14 and 15 is even',
  );
  t.same(
    ends.filter((step) => rounds.includesOne([3, 6, 21], step)),
    [5, 6, 24],
  );
});

t.test('without outer steps every step is an end', async (t) => {
  const plain = new Rounds({ ...options, every: 1 });
  t.notOk(steps.some((step) => plain.isOpen(step)));
  for (const every of [1, 3, 8]) {
    t.same(
      steps.filter((step) => plain.isDue(every, step)),
      steps.filter((step) => step % every === 0),
    );
  }
  t.same(
    steps.filter((step) => plain.includesOne([3, 9], step)),
    [3, 9],
  );
  t.same(await plain.close(3), { bytesSent: 0, ms: 0 });
});

t.test('settings: the defaults are those of the paper, and nothing is added without outer steps', async (t) => {
  const given = { steps: 10, batch: 1, seq: 4 };
  t.same(outerOptionsOf(resolveConfig({ ...given, syncEvery: 5 })), { learningRate: 0.7, momentum: 0.9 });
  const own = { syncEvery: 5, outerLearningRate: 1, outerMomentum: 0 };
  t.same(outerOptionsOf(resolveConfig({ ...given, ...own })), { learningRate: 1, momentum: 0 });
  t.equal(outerOptionsOf(resolveConfig(given)), undefined);
  t.notOk(Object.values(resolveConfig(given)).includes(0.7));
  for (const wrong of [{ syncEvery: 0 }, { syncEvery: 5, outerLearningRate: 0 }, { syncEvery: 5, outerMomentum: 1 }]) {
    t.throws(() => resolveConfig({ ...given, ...wrong }), { code: 'BAD_CONFIG' });
  }
});
