import t from 'tap';
import { bucketOf, buckets, epochBatches, featureBatch } from '../../../lib/eval/finetune/batches.js';
import { uniformNumber } from '../../../lib/growth/index.js';

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

t.test('an epoch takes every feature once, by seed and epoch, like lengths together', async (t) => {
  const features = Array.from({ length: 1003 }, (_, i) => ({
    tokens: new Array<number>(5 + Math.floor(60 * uniformNumber(1, 2, i) ** 3)).fill(1),
  }));
  const of = (seed: number, epoch: number) => epochBatches(features, { batch: 8, seed, epoch });
  const batches = of(4, 0);
  t.equal(batches.length, Math.ceil(1003 / 8));
  t.same(
    batches.flat().sort((a, b) => a - b),
    Array.from({ length: 1003 }, (_, i) => i),
  );
  t.equal(batches.filter((rows) => rows.length < 8).length, 1, 'one batch has what is left');
  t.same(of(4, 0), batches);
  t.not(of(4, 1).join(), batches.join());
  t.not(of(5, 0).join(), batches.join());
  const padded = (list: readonly (readonly number[])[]) =>
    list.reduce(
      (sum, rows) =>
        sum +
        8 *
          bucketOf(
            rows.map((row) => features[row]!),
            buckets(64),
          ),
      0,
    );
  const plain = Array.from({ length: batches.length }, (_, i) =>
    batches
      .flat()
      .sort((a, b) => a - b)
      .slice(i * 8, i * 8 + 8),
  );
  t.ok(padded(batches) < 0.75 * padded(plain), `${padded(batches)} of ${padded(plain)}`);
  const lengths = batches.map((rows) =>
    bucketOf(
      rows.map((row) => features[row]!),
      buckets(64),
    ),
  );
  t.ok(
    lengths.some((length, i) => i > 0 && length < lengths[i - 1]!),
    'long and short batches alternate',
  );
});
