import t from 'tap';
import { bucketOf, buckets, featureBatch } from '../../lib/eval/batches.js';

t.test('lengths end with the longest', async (t) => {
  t.same(buckets(100), [16, 32, 48, 64, 96, 100]);
  t.same(buckets(16), [16]);
  const of = (length: number) => ({ tokens: new Array<number>(length).fill(1) });
  t.equal(bucketOf([of(3), of(17)], buckets(100)), 32);
  t.equal(bucketOf([of(100)], buckets(100)), 100);
});

t.test('rows are padded, and those that are missing count for nothing', async (t) => {
  const features = [
    { tokens: [2, 9, 3], types: [0, 0, 0], targets: { label: 1, score: 0.5 } },
    { tokens: [2, 8, 3, 7, 3], types: [0, 0, 0, 1, 1] },
  ];
  const head = { targets: { label: 'i32', score: 'f32' } } as const;
  const batch = featureBatch(features, { batch: 3, seq: 6, padId: 0 }, head);
  t.same(Object.fromEntries(Object.entries(batch).map(([name, values]) => [name, [...values]])), {
    tokens: [2, 9, 3, 0, 0, 0, 2, 8, 3, 7, 3, 0, 2, 9, 3, 0, 0, 0],
    types: [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0],
    mask: [1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0],
    last: [2, 10, 14],
    counted: [1, 0, 0],
    label: [1, -100, -100],
    score: [0.5, 0, 0],
  });
});
