/** Orders are one-to-one, differ by seed and epoch, and look random. */
import t from 'tap';
import { epochOrder } from '../../../lib/data/batches/permutation.js';
import { failure } from '../support.js';

const orderOf = (size: number, seed: number, epoch: number): number[] => {
  const order = epochOrder(size, seed, epoch);
  return Array.from({ length: size }, (_, place) => order(place));
};

t.test('every size from 1 to 300 and some larger ones give each index once', async (t) => {
  const sizes = [...Array.from({ length: 300 }, (_, i) => i + 1), 1023, 1024, 1025, 65_537, 100_003];
  const wrong = sizes.filter((size) =>
    orderOf(size, 42, 0)
      .sort((a, b) => a - b)
      .some((index, i) => index !== i),
  );
  t.strictSame(wrong, []);
});

t.test('seed and epoch change the order, and nothing else does', async (t) => {
  const base = orderOf(1000, 42, 0).join();
  t.equal(orderOf(1000, 42, 0).join(), base);
  for (const [seed, epoch] of [
    [43, 0],
    [42 + 2 ** 32, 0],
    [42, 1],
    [42, 2 ** 32],
  ] as const)
    t.not(orderOf(1000, seed, epoch).join(), base);
});

t.test('first places are spread evenly over the indices', async (t) => {
  // 20,000 epochs of 10 blocks: each block should come first 2000 times, give or take (chi-squared, 9 degrees).
  const first = new Array<number>(10).fill(0);
  const second = new Array<number>(100).fill(0);
  for (let epoch = 0; epoch < 20_000; epoch++) {
    const order = epochOrder(10, 7, epoch);
    first[order(0)]!++;
    second[10 * order(0) + order(1)]!++;
  }
  const chi = (counts: number[], expected: number): number =>
    counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  t.ok(chi(first, 2000) < 33.7, 'p > 0.0001');
  const pairs = second.filter((_, i) => Math.floor(i / 10) !== i % 10);
  t.ok(chi(pairs, 20_000 / 90) < 148, 'pairs too (89 degrees)');
});

t.test('sizes out of range are refused', async (t) => {
  for (const size of [0, -1, 1.5, 2 ** 31])
    t.match(await failure(() => epochOrder(size, 1, 0)), /^BAD_ARGUMENT: An order needs a size/);
});
