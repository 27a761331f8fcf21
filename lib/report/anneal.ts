/** The annealed end-points of one run: rows of a table and the picture of loss against FLOPs. */
import type { ChartOption } from './charts.js';
import { formatCount, formatFlops } from './format.js';
import { chartFont, ink, palette, referenceColor } from './theme.js';

export interface EndPoint {
  /** Step at which the decay ended, and its first step. */
  readonly end: number;
  readonly from: number;
  readonly tokens: number;
  /** Training FLOPs by the paper's accounting, those of the run before the branch included. */
  readonly flopsModel: number;
  /** Held-out loss at full depth at the end of the decay. */
  readonly loss: number;
}

/** annealed.json in the folder of end-points. */
export interface AnnealResults {
  readonly format: 'apollo-lm/anneal/1';
  readonly run: string;
  readonly method: string;
  readonly seed: number;
  readonly decay: { readonly share: number; readonly shape: string };
  readonly endPoints: readonly EndPoint[];
}

/** End-points with another one, in order; an earlier one of the same step is replaced. */
export function withEndPoint(endPoints: readonly EndPoint[], added: EndPoint): readonly EndPoint[] {
  return [...endPoints.filter(({ end }) => end !== added.end), added].sort((a, b) => a.end - b.end);
}

/** Header and a row per end-point. */
export function annealRows({ endPoints }: AnnealResults): string[][] {
  return [
    ['end-point', 'decay from', 'tokens', 'FLOPs', 'held-out loss'],
    ...endPoints.map(({ end, from, tokens, flopsModel, loss }) => [
      `step ${end}`,
      `step ${from}`,
      formatCount(tokens),
      formatFlops(flopsModel),
      loss.toFixed(4),
    ]),
  ];
}

/** Loss against FLOPs, both logarithmic; `curve`: held-out losses of the run at its constant rate. */
export function annealChart(
  results: AnnealResults,
  curve: readonly { readonly flopsModel: number; readonly loss: number }[] = [],
): ChartOption {
  const axis = (name: string, more: object = {}) => ({
    type: 'log',
    name,
    nameLocation: 'middle',
    nameGap: 34,
    axisLabel: { color: ink },
    splitLine: { show: false },
    ...more,
  });
  const losses = [...results.endPoints, ...curve].map(({ loss }) => loss);
  const line = (name: string, data: readonly (readonly number[])[], color: string, more: object = {}) => ({
    type: 'line',
    name,
    data,
    itemStyle: { color },
    lineStyle: { color, width: 2 },
    ...more,
  });
  return {
    animation: false,
    textStyle: { fontFamily: chartFont, fontSize: 12, color: ink },
    backgroundColor: '#ffffff',
    grid: { left: 64, right: 24, top: 40, bottom: 56 },
    legend: { top: 8 },
    xAxis: axis('training FLOPs'),
    yAxis: axis('held-out loss', { min: 0.98 * Math.min(...losses), max: 1.02 * Math.max(...losses), nameGap: 44 }),
    series: [
      ...(curve.length > 0
        ? [
            line(
              'at the constant rate',
              curve.filter(({ flopsModel }) => flopsModel > 0).map(({ flopsModel, loss }) => [flopsModel, loss]),
              referenceColor,
              { symbol: 'none' },
            ),
          ]
        : []),
      line(
        'annealed end-points',
        results.endPoints.map(({ flopsModel, loss }) => [flopsModel, loss]),
        palette[0] as string,
        { symbolSize: 9 },
      ),
    ],
  };
}
