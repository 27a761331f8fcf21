/** Fine-tuning's results: what results.json holds, and the table and the picture that are made of it. */
import { writeWholeFile } from '../fs/whole-file.js';
import * as is from '../is.js';
import { spread } from './aggregate.js';
import type { ChartOption } from './charts.js';
import { formatDuration } from './format.js';

/** By split and metric; NaN (null in the file) where a metric is not defined. */
export type Scores = Readonly<Record<string, Readonly<Record<string, number>>>>;

export interface EpochScores {
  readonly epoch: number;
  /** Mean training loss. */
  readonly loss: number;
  readonly metrics: Scores;
  readonly trainMs: number;
}

export interface SeedScores {
  readonly seed: number;
  readonly epochs: readonly EpochScores[];
  /** The epoch with the best main metric. */
  readonly best: EpochScores;
  readonly last: EpochScores;
  readonly model?: string;
}

export interface FineTuneResults {
  readonly format: 'apollo-lm/finetune/1';
  readonly created: string;
  readonly task: string;
  readonly title: string;
  /** The first one is the main one. */
  readonly metrics: readonly string[];
  /** The first one decides which epoch is the best. */
  readonly splits: readonly string[];
  readonly settings: Readonly<Record<string, string | number>>;
  /** Warnings about the model that was fine-tuned, one sentence each. */
  readonly warnings?: readonly string[];
  /** 'pre-trained' first. */
  readonly variants: readonly { readonly name: string; readonly seeds: readonly SeedScores[] }[];
  readonly baselines: readonly { readonly name: string; readonly metrics: Scores }[];
}

const takesWriteFineTuneResults = is.takes('writeFineTuneResults', { path: is.path, results: is.fineTuneResults });

/**
 * Writes results so that a reader never sees half a file.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function writeFineTuneResults(path: string, results: FineTuneResults): Promise<void> {
  takesWriteFineTuneResults(path, results);

  await writeWholeFile(path, `${JSON.stringify(results, undefined, 1)}\n`, 'The results');
}

const percent = (value: number): string => (Number.isFinite(value) ? (100 * value).toFixed(1) : '-');

/** "81.2 ± 1.0" of scores x 100, with the standard deviation where there are several. */
function formatScores(values: readonly number[]): string {
  if (values.length === 0 || values.some((value) => !Number.isFinite(value))) return '-';
  const { mean, sd } = spread(values);
  return sd === undefined ? percent(mean) : `${percent(mean)} ± ${percent(sd)}`;
}

const takesFineTuneRows = is.takes('fineTuneRows', { results: is.fineTuneResults });

/**
 * Header and rows: scores x 100 of the best epoch of each seed, mean ± standard deviation; then those of the last.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function fineTuneRows(results: FineTuneResults): string[][] {
  takesFineTuneRows(results);

  const { metrics, splits, variants, baselines } = results;
  const columns = splits.flatMap((split) => metrics.map((metric) => ({ split, metric })));
  const title = ({ split, metric }: { split: string; metric: string }) =>
    splits.length > 1 ? `${metric}, ${split}` : metric;
  const main = { split: splits[0] as string, metric: metrics[0] as string };
  const header = ['model', ...columns.map(title), `${title(main)}, last epoch`, 'seeds', 'training time of a seed'];
  const at = (scores: Scores, { split, metric }: { split: string; metric: string }) =>
    scores[split]?.[metric] ?? Number.NaN;
  const rows = variants
    .filter(({ seeds }) => seeds.length > 0)
    .map(({ name, seeds }) => [
      name,
      ...columns.map((column) => formatScores(seeds.map(({ best }) => at(best.metrics, column)))),
      formatScores(seeds.map(({ last }) => at(last.metrics, main))),
      String(seeds.length),
      formatDuration(spread(seeds.map(({ last }) => last.trainMs)).mean),
    ]);
  const fixed = baselines.map(({ name, metrics: scores }) => [
    name,
    ...columns.map((column) => formatScores([at(scores, column)])),
    '',
    '',
    '',
  ]);
  return [header, ...rows, ...fixed];
}

const palette = ['#0072b2', '#d55e00', '#009e73', '#cc79a7'];
const ink = '#333333';

const takesFineTuneChart = is.takes('fineTuneChart', { results: is.fineTuneResults });

/**
 * The main metric on the first split after each epoch: seeds as thin lines, their mean on top, baselines dashed.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function fineTuneChart(results: FineTuneResults): ChartOption {
  takesFineTuneChart(results);

  const { metrics, splits, variants, baselines, title } = results;
  const [metric, split] = [metrics[0] as string, splits[0] as string];
  const value = (scores: Scores): number | null => {
    const score = scores[split]?.[metric] ?? Number.NaN;
    return Number.isFinite(score) ? Number((100 * score).toPrecision(6)) : null;
  };
  const points = (epochs: readonly EpochScores[]) => epochs.map(({ epoch, metrics: scores }) => [epoch, value(scores)]);
  const line = (name: string, data: unknown, color: string, width: number, opacity: number): ChartOption => ({
    type: 'line',
    name,
    data,
    symbolSize: 5,
    showSymbol: width > 1,
    lineStyle: { color, width, opacity },
    itemStyle: { color },
  });
  const series = variants.flatMap(({ name, seeds }, index) => {
    if (seeds.length === 0) return [];
    const color = palette[index % palette.length] as string;
    const shortest = Math.min(...seeds.map(({ epochs }) => epochs.length));
    const mean = Array.from({ length: shortest }, (_, i) => {
      const values = seeds.map(({ epochs }) => value(epochs[i]?.metrics ?? {}));
      const known = values.every((each) => each !== null);
      return [i + 1, known ? (values as number[]).reduce((a, b) => a + b, 0) / values.length : null];
    });
    const thin = seeds.length > 1 ? seeds.map(({ epochs }) => line(name, points(epochs), color, 1, 0.3)) : [];
    return [...thin, line(name, mean, color, 2, 1)];
  });
  const marks = baselines.flatMap(({ name, metrics: scores }) => {
    const y = value(scores);
    return y === null
      ? []
      : [{ yAxis: y, label: { formatter: `${name} ${y.toFixed(1)}`, position: 'insideStartTop' } }];
  });
  const markLine = {
    silent: true,
    symbol: 'none',
    lineStyle: { color: ink, type: 'dashed', width: 1 },
    label: { color: ink },
    data: marks,
  };
  const known = [
    ...series.flatMap(({ data }) => (data as [number, number | null][]).map(([, y]) => y)),
    ...marks.map(({ yAxis }) => yAxis),
  ];
  const values = known.filter((y) => y !== null);
  const margin = values.length > 0 ? Math.max(1, 0.08 * (Math.max(...values) - Math.min(...values))) : 1;
  const axis = { nameLocation: 'middle', nameGap: 34, axisLine: { show: true, lineStyle: { color: ink } } };
  return {
    animation: false,
    textStyle: { fontFamily: 'Helvetica, Arial, sans-serif', fontSize: 12, color: ink },
    backgroundColor: '#ffffff',
    grid: { left: 64, right: 24, top: 40, bottom: 56 },
    legend: { top: 8, itemGap: 24, data: variants.filter(({ seeds }) => seeds.length > 0).map(({ name }) => name) },
    xAxis: { type: 'value', name: 'epoch', min: 1, minInterval: 1, ...axis },
    yAxis: {
      type: 'value',
      name: `${title}: ${metric} on ${split} x 100`,
      scale: true,
      axisLabel: { showMinLabel: false, showMaxLabel: false },
      ...(values.length > 0 && {
        min: Math.floor(Math.min(...values) - margin),
        max: Math.ceil(Math.max(...values) + margin),
      }),
      ...axis,
    },
    series: series.map((each, index) => (index === 0 && marks.length > 0 ? { ...each, markLine } : each)),
  };
}
