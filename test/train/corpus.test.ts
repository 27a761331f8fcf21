import t from 'tap';
import { BatchAhead, labelCount, labelShares } from '../../lib/train/corpus.js';

t.test('a batch prepared ahead is built once and is the one that is taken', async (t) => {
  const built: string[] = [];
  const ahead = new BatchAhead((step, micro) => {
    built.push(`${step}.${micro}`);
    return { tokens: Int32Array.of(step, micro) };
  });
  const taken = async (step: number) => (await ahead.take(step, [0, 1])).map(({ tokens }) => [...tokens!]);
  ahead.prepare(1, 0);
  ahead.prepare(1, 1);
  t.same(built, ['1.0', '1.1']);
  t.same(
    await taken(1),
    [
      [1, 0],
      [1, 1],
    ],
    'as prepared',
  );
  t.same(built, ['1.0', '1.1']);
  ahead.prepare(2, 0);
  t.same(
    await taken(2),
    [
      [2, 0],
      [2, 1],
    ],
    'one was not prepared: built now',
  );
  ahead.prepare(3, 0);
  t.same(
    await taken(5),
    [
      [5, 0],
      [5, 1],
    ],
    'another step was prepared: built now',
  );
});

t.test('the share of a micro-batch is that of its labels', async (t) => {
  const count = (...values: number[]) => labelCount({ labels: Int32Array.from(values) });
  t.same(labelShares([count(3, -100, 5, 0), count(-100, -100), count(7, -100, -100)]), [0.75, 0, 0.25]);
  t.same(labelShares([count(4, 4, -100)]), [1]);
  t.same(labelShares([count(-100), count(-100)]), [0, 0], 'a step without labels');
  t.throws(() => labelCount({ tokens: Int32Array.of(1) }), { code: 'BAD_CORPUS', message: /no `labels`/ });
});

t.test('a failure is reported to the one who takes the batch, not before', async (t) => {
  const ahead = new BatchAhead(() => {
    throw new Error('disk gone');
  });
  ahead.prepare(0, 0);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await t.rejects(ahead.take(0, [0]), { message: 'disk gone' });
});

t.test('a rank takes micro-batches of its own', async (t) => {
  const ahead = new BatchAhead((step, micro) => ({ tokens: Int32Array.of(step, micro) }));
  ahead.prepare(1, 3);
  const taken = await ahead.take(1, [2, 3]);
  t.same(
    taken.map(({ tokens }) => [...tokens!]),
    [
      [1, 2],
      [1, 3],
    ],
  );
});
