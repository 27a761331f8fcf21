import t from 'tap';
import {
  Distribution,
  gradientStatistics,
  overlap,
  wasserstein,
} from '../../../bench/acceleration/figures/statistics.js';

t.test('gradients: norms of tensors, absolute values and signed values of entries', (t) => {
  const { norm, tensors, absolute, signed } = gradientStatistics([
    Float32Array.of(3, -4),
    Float32Array.of(0, 0),
    Float32Array.of(0, 12),
  ]);
  t.equal(norm, 13);
  t.same(tensors.count, 3);
  t.ok(Math.abs(tensors.mean - 17 / 3) < 1e-12); // norms 5, 0, 12
  t.ok(Math.abs(tensors.sd - Math.sqrt(169 / 3 - (17 / 3) ** 2)) < 1e-12);
  t.same([absolute.count, absolute.mean], [6, 19 / 6]);
  t.ok(Math.abs(absolute.sd - Math.sqrt(169 / 6 - (19 / 6) ** 2)) < 1e-12);
  t.same(signed.mean, 11 / 6);
  t.throws(() => gradientStatistics([]), /at least one entry/);
  t.end();
});

t.test('a distribution has the moments of its values, wherever they are added', (t) => {
  const distribution = new Distribution(4, 8);
  distribution.add(Float32Array.of(1, 2));
  distribution.add([3, -2]);
  const { count, mean, sd, kurtosis, outside } = distribution.summary;
  t.same([count, mean, outside], [4, 1, 0]);
  t.ok(Math.abs(sd - Math.sqrt(3.5)) < 1e-12);
  t.ok(Math.abs(kurtosis - (0 + 1 + 16 + 81) / 4 / 3.5 ** 2) < 1e-12);
  t.same([...distribution.counts], [0, 0, 1, 0, 0, 1, 1, 1]);
  t.end();
});

t.test('values beyond the grid count at its ends', (t) => {
  const distribution = new Distribution(1, 2);
  distribution.add([-7, 0.5, 1, 9]);
  t.same([...distribution.counts], [1, 3]);
  t.equal(distribution.summary.outside, 0.75);
  t.throws(() => new Distribution(1, 2).summary, /no values/);
  t.end();
});

t.test('a density has area 1 over the whole grid', (t) => {
  const distribution = new Distribution();
  distribution.add(Array.from({ length: 1000 }, (_, i) => Math.sin(i)));
  const density = distribution.density(4, 128);
  t.equal(density.length, 128);
  const width = (density[1]?.[0] ?? 0) - (density[0]?.[0] ?? 0);
  t.equal(width, 1 / 16);
  t.ok(Math.abs(density.reduce((sum, [, p]) => sum + p * width, 0) - 1) < 1e-9);
  t.end();
});

t.test(
  'the Wasserstein distance of shifted values is the shift, of scaled ones the mean difference of quantiles',
  (t) => {
    const values = Array.from({ length: 4001 }, (_, i) => (i - 2000) / 2000);
    const [a, shifted, scaled] = [new Distribution(), new Distribution(), new Distribution()];
    a.add(values);
    shifted.add(values.map((x) => x + 0.25));
    scaled.add(values.map((x) => 2 * x));
    t.equal(wasserstein(a, a), 0);
    t.ok(Math.abs(wasserstein(a, shifted) - 0.25) < 1e-3);
    t.ok(Math.abs(wasserstein(a, scaled) - 0.5) < 2 * a.width); // |2x - x| of uniform x in [-1, 1]
    t.equal(wasserstein(scaled, a), wasserstein(a, scaled));
    t.ok(Math.abs(overlap(a, a) - 1) < 1e-12);
    t.ok(Math.abs(overlap(a, scaled) - 0.5) < 0.02);
    t.throws(() => wasserstein(a, new Distribution(1, 2)), /one grid/);
    t.end();
  },
);
