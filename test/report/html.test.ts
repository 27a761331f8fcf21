import t from 'tap';
import { analyse } from '../../lib/report/aggregate.js';
import { depthChart, lossChart, meanCurve } from '../../lib/report/charts.js';
import { htmlReport } from '../../lib/report/html.js';
import { renderSvg } from '../../lib/report/svg.js';
import { comparison, record } from './curves.js';

const results = comparison([
  record('scratch', 1, [
    [0, 9],
    [1, 3.5],
    [1.8, 3.04],
    [1.9, 3.04],
    [2, 3.04],
  ]),
  record('apollo', 1, [
    [0, 9],
    [1, 3.1],
    [1.2, 3],
    [1.4, 2.9],
  ]),
]);
const analysis = analyse(results);

/** A reader for well-formed XML: every tag closed in order. Returns the names of the elements met. */
function elements(xml: string): string[] {
  const open: string[] = [];
  const seen: string[] = [];
  for (const [, close, name, rest] of xml.matchAll(/<(\/?)([A-Za-z][\w:]*)((?:"[^"]*"|'[^']*'|[^>"'])*)>/g)) {
    if (close) {
      if (open.pop() !== name) throw new Error(`</${name}> closes nothing`);
      continue;
    }
    seen.push(name!);
    if (!rest!.endsWith('/')) open.push(name!);
  }
  if (open.length > 0) throw new Error(`not closed: ${open.join(', ')}`);
  return seen;
}

t.test('the loss picture is an SVG with both curves, the target and the saving', async (t) => {
  const svg = await renderSvg(lossChart(results, analysis, 'flopsModel'), { width: 600, height: 400 });
  t.ok(/^<svg [^>]*width="600" height="400"/.test(svg));
  const names = elements(svg);
  t.ok(names.filter((name) => name === 'path').length > 10);
  t.ok(/final loss of scratch: 3\.0400/.test(svg));
  t.ok(/-44\.0 %/.test(svg));
  t.ok(/>apollo</.test(svg));
  t.ok(/#0072b2/.test(svg));
});

t.test('the time picture has its unit on the axis', async (t) => {
  t.match(await renderSvg(lossChart(results, analysis, 'trainMs')), /training time \(s\)/);
});

t.test('depths are shares of the steps of their stage', async (t) => {
  const chart = depthChart(results, analysis);
  const series = (chart?.series ?? []) as { name: string; data: number[] }[];
  // 20 steps with one trained layer, 12, 5 and 3 of them at depths 1, 2, 3; then every step is at depth 3.
  t.same(
    series.map(({ name, data }) => [name, data]),
    [['1 trained layer', [60, 25, 15]]],
  );
  elements(await renderSvg(chart!));
  t.equal(depthChart(comparison([results.runs[0]!]), analysis), undefined, 'nothing to show without varying depth');
});

t.test('the mean of several seeds stops where the shortest stops', async (t) => {
  const mean = meanCurve([
    record('a', 1, [
      [1, 4],
      [2, 2],
    ]),
    record('a', 2, [[3, 2]]),
  ]);
  t.equal(mean.length, 1);
  t.match(mean[0], { flopsModel: 2, lossFull: 3 });
});

t.test('the page stands alone and escapes what it shows', async (t) => {
  const still = await htmlReport(results, analysis, { interactive: false });
  t.match(still, /apollo reached scratch's final loss of 3\.0400 with 44\.0 % fewer FLOPs/);
  t.ok(/&lt;sample&gt; &amp; &quot;text&quot;/.test(still));
  t.notOk(/<script|<link|src=|href=/.test(still));
  const page = await htmlReport(results, analysis);
  t.ok(page.length < 1.2e6, 'about a megabyte');
  t.equal(page.split('</script>').length, 3, 'two scripts: the library and the charts');
});

t.test('an unfinished comparison is marked as such', async (t) => {
  const partial = comparison(results.runs.map((run) => ({ ...run, finished: false })));
  t.match(await htmlReport(partial, analyse(partial), { interactive: false }), /figures may still change/);
});

t.test('a report without a method is refused: its chart has no end of ticks to draw', async (t) => {
  const costs = { flopsModel: 1, flopsLayers: 1, flopsExecuted: 1, trainMs: 1 };
  const results = {
    ...{ format: 'apollo-lm/results/1' as const, created: '', settings: {}, layers: 2, totalSteps: 2 },
    ...{ reference: 'scratch', runs: [] },
  };
  const analysis = { reference: 'scratch', target: 1, referenceCosts: costs, complete: true, methods: [] };
  await t.rejects(htmlReport(results, analysis), { code: 'BAD_ARGUMENT', message: /htmlReport: analysis.methods/ });
});

t.test('a run that has not come to 12 % of its costs has no part in the range of losses', async (t) => {
  const short = record(
    'scratch',
    2,
    [0, 0.01, 0.02, 0.03, 0.04].map((flops, i) => [flops, 9 - i] as const),
  );
  const both = comparison([...results.runs, { ...short, finished: false }]);
  const svg = await renderSvg(lossChart(both, analyse(both), 'flopsModel'), { width: 600, height: 400 });
  t.ok(/^<svg /.test(svg));
});

t.test('the mean of a method is over the seeds that are compared; one under way is a thin line', async (t) => {
  const of = (method: string, seed: number, points: [number, number][], finished = true) => ({
    ...record(method, seed, points),
    finished,
  });
  const points: [number, number][] = [
    [1, 4],
    [2, 3],
    [3, 2],
  ];
  const results = comparison([of('scratch', 1, points), of('scratch', 2, points.slice(0, 1), false)]);
  const { series } = lossChart(results, analyse(results), 'flopsModel') as {
    series: { data: number[][]; lineStyle: { width: number } }[];
  };
  t.same(
    series.map(({ data, lineStyle }) => [data.length, lineStyle.width]),
    [
      [3, 1],
      [1, 1],
      [3, 2],
    ],
  );
});

t.test('a number of trained layers has one colour in all panels of the depths', async (t) => {
  const stage = (step: number, trainedLayers: number) => ({ step, trainedLayers, depthSteps: [0, 1, 2, 3] });
  const results = comparison([
    { ...record('apollo', 1, [[1, 4]]), stages: [stage(0, 1), stage(9, 2)] },
    { ...record('scratch', 1, [[1, 4]]), stages: [stage(0, 2)] },
  ]);
  const { series, legend } = depthChart(results, analyse(results)) as {
    series: { name: string; itemStyle: { color: string } }[];
    legend: { data: string[] };
  };
  t.same(legend.data, ['1 trained layer', '2 trained layers']);
  const colors = new Map(legend.data.map((name) => [name, new Set<string>()]));
  for (const { name, itemStyle } of series) colors.get(name)?.add(itemStyle.color);
  t.same(
    [...colors.values()].map(({ size }) => size),
    [1, 1],
  );
});
