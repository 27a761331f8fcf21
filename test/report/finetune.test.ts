import t from 'tap';
import { type FineTuneResults, fineTuneChart, fineTuneRows } from '../../lib/report/finetune.js';
import { renderSvg } from '../../lib/report/svg.js';

const epoch = (number: number, pearson: number, spearman: number) => ({
  epoch: number,
  loss: 1,
  metrics: { dev: { pearson, spearman } },
  trainMs: 1000 * number,
});

const seed = (number: number, first: number, second: number) => ({
  seed: number,
  epochs: [epoch(1, first, 0.5), epoch(2, second, 0.6)],
  best: epoch(1, first, 0.5),
  last: epoch(2, second, 0.6),
});

const results: FineTuneResults = {
  format: 'apollo-lm/finetune/1',
  created: '2026-01-01',
  task: 'stsb',
  title: 'STS-B',
  metrics: ['pearson', 'spearman'],
  splits: ['dev'],
  settings: {},
  variants: [
    { name: 'pre-trained', seeds: [seed(1, 0.8, 0.7), seed(2, 0.84, 0.72)] },
    { name: 'from scratch', seeds: [seed(1, Number.NaN, 0.1)] },
    { name: 'not yet run', seeds: [] },
  ],
  baselines: [{ name: 'mean score', metrics: { dev: { pearson: Number.NaN, spearman: 0.25 } } }],
};

t.test(
  'the table: best epochs with their spread, the last epoch, baselines; no figure where a seed has none',
  async (t) => {
    t.same(fineTuneRows(results), [
      ['model', 'pearson', 'spearman', 'pearson, last epoch', 'seeds', 'training time of a seed'],
      ['pre-trained', '82.0 ± 2.8', '50.0 ± 0.0', '71.0 ± 1.4', '2', '2.0 s'],
      ['from scratch', '-', '50.0', '10.0', '1', '2.0 s'],
      ['mean score', '-', '25.0', '', '', ''],
    ]);
    const two = fineTuneRows({ ...results, splits: ['matched', 'mismatched'], metrics: ['accuracy'] });
    t.same(two[0]?.slice(1, 4), ['accuracy, matched', 'accuracy, mismatched', 'accuracy, matched, last epoch']);
  },
);

t.test('the picture: seeds thin, their mean on top, baselines that are defined as lines', async (t) => {
  const other = { ...results, metrics: ['spearman', 'pearson'] };
  const chart = fineTuneChart(other) as { series: { name: string; data: unknown; markLine?: { data: unknown } }[] };
  t.same(
    chart.series.map(({ name }) => name),
    ['pre-trained', 'pre-trained', 'pre-trained', 'from scratch'],
  );
  t.same(chart.series[2]?.data, [
    [1, 50],
    [2, 60],
  ]);
  t.match(chart.series[0]?.markLine?.data, [{ yAxis: 25 }]);
  const svg = await renderSvg(fineTuneChart(results));
  t.match(svg, /^<svg/);
  t.match(svg, /STS-B: pearson on dev/);
});
