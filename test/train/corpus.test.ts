import t from 'tap';
import { BatchAhead } from '../../lib/train/corpus.js';

t.test('a batch prepared ahead is built once and is the one that is taken', async (t) => {
  const built: string[] = [];
  const ahead = new BatchAhead((step, micro) => {
    built.push(`${step}.${micro}`);
    return { tokens: Int32Array.of(step, micro) };
  });
  ahead.prepare(1, 0);
  t.same((await ahead.take(1, 0))['tokens'], Int32Array.of(1, 0));
  t.same(built, ['1.0']);
  t.same((await ahead.take(1, 1))['tokens'], Int32Array.of(1, 1), 'not prepared: built now');
  ahead.prepare(2, 0);
  t.same((await ahead.take(5, 0))['tokens'], Int32Array.of(5, 0), 'another one was prepared: built now');
});

t.test('a failure is reported to the one who takes the batch, not before', async (t) => {
  const ahead = new BatchAhead(() => {
    throw new Error('disk gone');
  });
  ahead.prepare(0, 0);
  await new Promise((resolve) => setTimeout(resolve, 5));
  await t.rejects(ahead.take(0, 0), { message: 'disk gone' });
});
