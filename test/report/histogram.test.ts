import t from 'tap';
import { uniformNumber } from '../../lib/growth/index.js';
import { histogramChart } from '../../lib/report/charts.js';
import { histogram } from '../../lib/report/histogram.js';
import { renderSvg } from '../../lib/report/svg.js';

t.test('counts, edges and moments of a few numbers', async (t) => {
  // Mean 3/2; deviations -3/2, -1/2, -1/2, 5/2: squares 9/4, 1/4, 1/4, 25/4, their mean 9/4, that of their squares 177/16.
  t.same(histogram(Float32Array.of(0, 1, 1, 4), { bins: 4 }), {
    counts: [1, 2, 0, 1],
    edges: [0, 1, 2, 3, 4],
    below: 0,
    above: 0,
    mean: 1.5,
    sd: 1.5,
    kurtosis: 177 / 16 / (81 / 16),
  });
});

t.test('what is outside a given range is counted apart, and the upper edge belongs to the last bin', async (t) => {
  const { counts, edges, below, above, mean } = histogram(Float32Array.of(-3, -1, 0, 0.5, 1, 7, 9), {
    bins: 2,
    range: [-1, 1],
  });
  t.same(edges, [-1, 0, 1]);
  t.same(counts, [1, 3]);
  t.same([below, above], [1, 2]);
  t.ok(Math.abs(mean - 13.5 / 7) < 1e-12, 'moments are of all values');
});

t.test('every value is between the edges of its bin', async (t) => {
  const bins = 7;
  for (let i = 0; i <= 700; i++) {
    const value = Math.fround(0.1 + (0.6 * i) / 700);
    if (value < 0.1 || value > 0.7) continue;
    const { counts, edges } = histogram(Float32Array.of(value), { bins, range: [0.1, 0.7] });
    const bin = counts.indexOf(1);
    const inside = value >= edges[bin]! && (value < edges[bin + 1]! || bin === bins - 1);
    if (!inside) t.fail(`${value} in bin ${bin}, [${edges[bin]}, ${edges[bin + 1]})`);
  }
  t.same(histogram(Float32Array.of(0.1, 0.7), { bins: 3 }).edges.at(-1), Math.fround(0.7), 'the last edge is exact');
});

t.test('equal values have one bin around them and no kurtosis', async (t) => {
  const { counts, edges, sd, kurtosis } = histogram(new Float32Array(5).fill(2), { bins: 3 });
  t.same(counts, [0, 5, 0]);
  t.same([edges[0], edges[3]], [1.5, 2.5]);
  t.equal(sd, 0);
  t.equal(kurtosis, undefined);
});

t.test('known distributions: uniform has kurtosis 9/5, normal 3, far from zero as well', async (t) => {
  const size = 40_000;
  const u = (i: number) => uniformNumber(1, 7, i);
  const uniform = histogram(
    Float32Array.from({ length: size }, (_, i) => u(i)),
    { bins: 10, range: [0, 1] },
  );
  t.ok(Math.abs(uniform.mean - 1 / 2) < 0.01);
  t.ok(Math.abs(uniform.sd - Math.sqrt(1 / 12)) < 0.005);
  t.ok(Math.abs(uniform.kurtosis! - 9 / 5) < 0.03, `${uniform.kurtosis}`);
  // A count has mean 4000 and deviation 60.
  t.ok(uniform.counts.every((count) => Math.abs(count - 4000) < 300));
  const normal = histogram(
    Float32Array.from(
      { length: size },
      (_, i) => 100 + Math.sqrt(-2 * Math.log(1 - u(2 * i))) * Math.cos(2 * Math.PI * u(2 * i + 1)),
    ),
  );
  t.ok(Math.abs(normal.mean - 100) < 0.03);
  t.ok(Math.abs(normal.sd - 1) < 0.02);
  t.ok(Math.abs(normal.kurtosis! - 3) < 0.15, `${normal.kurtosis}`);
});

t.test('says what is wrong with its arguments', async (t) => {
  const one = Float32Array.of(1);
  t.throws(() => histogram(new Float32Array(0)), { code: 'BAD_ARGUMENT', message: /at least one value/ });
  t.throws(() => histogram(Float32Array.of(0, Number.NaN)), { code: 'BAD_ARGUMENT', message: /value 1 is NaN/ });
  t.throws(() => histogram(one, { bins: 0 }), { code: 'BAD_ARGUMENT', message: /bins >= 1; got 0/ });
  t.throws(() => histogram(one, { bins: 2.5 }), { code: 'BAD_ARGUMENT', message: /got 2\.5/ });
  t.throws(() => histogram(one, { range: [2, 2] }), { code: 'BAD_ARGUMENT', message: /must rise.*\[2, 2\]/ });
});

t.test('the picture shows densities, which enclose the share of values in the range', async (t) => {
  const narrow = histogram(Float32Array.of(-1, -1, 0, 1), { bins: 2, range: [-1, 1] });
  const wide = histogram(Float32Array.of(-4, -2, 0, 1, 2), { bins: 4, range: [-2, 2] });
  const chart = histogramChart(
    [
      { name: 'interpolate', histogram: narrow },
      { name: 'stack', histogram: wide },
    ],
    'output of layer 12',
  );
  const series = chart['series'] as { name: string; data: number[][] }[];
  // Halves of 4 values over bins of width 1.
  t.same(series[0]!.data, [
    [-0.5, 0.5],
    [0.5, 0.5],
  ]);
  t.same(
    series[1]!.data,
    [
      [-1.5, 0.2],
      [-0.5, 0],
      [0.5, 0.2],
      [1.5, 0.4],
    ],
    'a fifth of the values is outside',
  );
  const svg = await renderSvg(chart, { width: 600, height: 400 });
  t.match(svg, /^<svg [^>]*width="600" height="400"/);
  // Mean -1/4; variance 3/4 - 1/16 = 11/16, deviation 0.829; fourth moment 788/1024, over 121/256.
  t.match(svg, /interpolate \(sd 0\.829, kurtosis 1\.63\)/);
  t.match(svg, /output of layer 12/);
  t.match(svg, /density/);
  for (const color of ['#0072b2', '#d55e00']) t.ok(svg.includes(color), color);
});

t.test('a distribution without width is drawn without kurtosis', async (t) => {
  const chart = histogramChart([{ name: 'dead', histogram: histogram(new Float32Array(3)) }]);
  t.match(await renderSvg(chart), /dead \(sd 0\.00\)/);
});
