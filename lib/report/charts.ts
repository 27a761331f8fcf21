/**
 * The pictures of a report as echarts options: plain JSON, so that the same picture is an SVG file here and a live chart
 * in the page.
 */

import * as is from '../is.js';
import type { Analysis } from './aggregate.js';
import { decimalPrefix, formatPercent } from './format.js';
import type { CostName, EvaluationPoint, Results, RunRecord } from './results.js';
import { chartFont, faint, ink, palette, referenceColor } from './theme.js';

/** Plain data as echarts takes it; kept loose since the options never reach code of ours again. */
export type ChartOption = Readonly<Record<string, unknown>>;

const stagePalette = ['#9ecae1', '#3182bd', '#08306b', '#fdae6b', '#e6550d', '#7f2704'];

const font = { fontFamily: chartFont, fontSize: 12, color: ink };

/** One colour a method: the reference is grey, the others in order of appearance. */
export function methodColor(analysis: Analysis, method: string): string {
  if (method === analysis.reference) return referenceColor;
  const others = analysis.methods.filter((entry) => !entry.isReference);
  return palette[others.findIndex((entry) => entry.method === method) % palette.length]!;
}

const takesLossChart = is.takes('lossChart', {
  results: is.results,
  analysis: is.analysis,
  cost: is.oneOf('flopsModel', 'flopsLayers', 'flopsExecuted', 'trainMs'),
});

/**
 * Held-out loss at full depth against a cost, with the target line and the point where each method meets it. Several
 * seeds are thin lines with the mean of those that `analysis` compares on top.
 * @param results The runs, of which the chart shows the evaluations.
 * @param analysis What `analyse` made of the same results: the target loss and where the methods meet it.
 * @param cost The horizontal axis: FLOPs by one of the three accountings, or training time.
 * @example
 * const svg = renderSvg(lossChart(results, analysis, 'flopsModel'));
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function lossChart(results: Results, analysis: Analysis, cost: CostName): ChartOption {
  takesLossChart(results, analysis, cost);

  const isTime = cost === 'trainMs';
  const greatest = Math.max(1, ...results.runs.flatMap((run) => run.evaluations.map((point) => point[cost])));
  const [factor, letter] = isTime ? timeUnit(greatest) : decimalPrefix(greatest);
  const xTitle = isTime ? `training time (${letter})` : `training FLOPs (${letter}FLOP)`;
  const series: ChartOption[] = [];
  for (const met of analysis.methods) {
    const { method } = met;
    const color = methodColor(analysis, method);
    const evaluated = results.runs.filter((run) => run.method === method && run.evaluations.length > 0);
    const compared = evaluated.filter((run) => met.seeds.some(({ seed }) => seed === run.seed));
    if (evaluated.length > 1) {
      for (const run of evaluated) {
        series.push(lineSeries(method, toPoints(run.evaluations, cost, factor), { color, width: 1, opacity: 0.3 }));
      }
    }
    series.push({
      ...lineSeries(method, toPoints(meanCurve(compared), cost, factor), { color, width: 2, opacity: 1 }),
      ...(method === analysis.reference && { markLine: targetLine(analysis) }),
    });
    if (met.saving && !met.isReference && Number.isFinite(met.saving[cost].mean)) {
      const x = (analysis.referenceCosts[cost] * (1 - met.saving[cost].mean)) / factor;
      const sign = met.saving[cost].mean >= 0 ? '-' : '+';
      series.push({
        type: 'scatter',
        name: method,
        data: [[round(x), round(analysis.target)]],
        symbolSize: 9,
        itemStyle: { color },
        label: {
          show: true,
          position: [-4, 12],
          align: 'right',
          textBorderColor: '#ffffff',
          textBorderWidth: 3,
          formatter: `${sign}${formatPercent(Math.abs(met.saving[cost].mean))}`,
          color,
          fontWeight: 'bold',
        },
        z: 5,
      });
    }
  }
  return {
    animation: false,
    textStyle: font,
    backgroundColor: '#ffffff',
    grid: { left: 64, right: 24, top: 40, bottom: 56 },
    legend: { top: 8, itemGap: 24, data: analysis.methods.map((entry) => entry.method) },
    tooltip: { trigger: 'item' },
    dataZoom: [{ type: 'inside', filterMode: 'none' }],
    xAxis: axis(xTitle, { min: 0 }),
    yAxis: axis('held-out loss', {
      scale: true,
      axisLabel: { showMinLabel: false, showMaxLabel: false },
      ...lossRange(results, analysis),
    }),
    series,
  };
}

const takesDepthChart = is.takes('depthChart', { results: is.results, analysis: is.analysis });

/**
 * At which depths the steps of a stage ran, as shares of the stage, for each method and stage in which they differ;
 * nothing when they never do.
 * @param results The runs, of which the chart shows the stages.
 * @param analysis What `analyse` made of the same results: the methods and their order.
 * @example
 * const chart = depthChart(results, analysis);
 * if (chart) await writeFile('depths.svg', await renderSvg(chart));
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function depthChart(results: Results, analysis: Analysis): ChartOption | undefined {
  takesDepthChart(results, analysis);

  const methods = analysis.methods.filter(({ method }) => sampledStages(results, method).length > 0);
  if (methods.length === 0) return undefined;
  const series: ChartOption[] = [];
  const counts = methods.flatMap(({ method }) => sampledStages(results, method).map((stage) => stage.trainedLayers));
  const shown = [...new Set(counts)].sort((a, b) => a - b);
  const nameOf = (layers: number) => (layers === 1 ? '1 trained layer' : `${layers} trained layers`);
  methods.forEach(({ method }, index) => {
    for (const { trainedLayers, depthSteps } of sampledStages(results, method)) {
      const steps = total(depthSteps);
      series.push({
        type: 'bar',
        name: nameOf(trainedLayers),
        xAxisIndex: index,
        yAxisIndex: index,
        data: Array.from({ length: results.layers }, (_, depth) => round((100 * (depthSteps[depth + 1] ?? 0)) / steps)),
        itemStyle: { color: stagePalette[shown.indexOf(trainedLayers) % stagePalette.length] },
        barCategoryGap: '25%',
        barGap: '5%',
      });
    }
  });
  const depths = Array.from({ length: results.layers }, (_, depth) => String(depth + 1));
  const width = 100 / methods.length;
  return {
    animation: false,
    textStyle: font,
    backgroundColor: '#ffffff',
    legend: { top: 8, itemGap: 32, data: shown.map(nameOf) },
    tooltip: { trigger: 'item' },
    title: methods.map(({ method }, index) => ({
      text: method,
      left: `${(index + 0.5) * width}%`,
      top: 32,
      textAlign: 'center',
      textStyle: { ...font, fontWeight: 'bold' },
    })),
    grid: methods.map((_, index) => ({
      left: `${index * width + 7}%`,
      width: `${width - 9}%`,
      top: 56,
      bottom: 56,
    })),
    xAxis: methods.map((_, index) => ({
      type: 'category',
      gridIndex: index,
      data: depths,
      name: 'depth of the step',
      nameLocation: 'middle',
      nameGap: 30,
    })),
    yAxis: methods.map((_, index) => ({ ...axis(index === 0 ? 'share of the stage (%)' : '', {}), gridIndex: index })),
    series,
  };
}

/** Mean over runs at equal evaluation index: costs and loss. Stops where the shortest run stops. */
export function meanCurve(runs: readonly RunRecord[]): EvaluationPoint[] {
  const shortest = Math.min(...runs.map((run) => run.evaluations.length));
  const first = runs[0];
  if (!first || runs.length === 1) return first ? [...first.evaluations] : [];
  return Array.from({ length: shortest }, (_, index) => {
    const points = runs.map((run) => run.evaluations[index]!);
    const mean = (pick: (point: EvaluationPoint) => number) =>
      points.reduce((sum, point) => sum + pick(point), 0) / points.length;
    return {
      step: points[0]!.step,
      tokens: mean((point) => point.tokens),
      flopsModel: mean((point) => point.flopsModel),
      flopsLayers: mean((point) => point.flopsLayers),
      flopsExecuted: mean((point) => point.flopsExecuted),
      trainMs: mean((point) => point.trainMs),
      lossFull: mean((point) => point.lossFull),
      lossStage: mean((point) => point.lossStage),
    };
  });
}

/**
 * The losses worth showing: from a little below the best up to where the reference is after 12 % of its costs, since
 * the first fall from ln(vocabulary) would press the rest flat.
 */
function lossRange(results: Results, analysis: Analysis): { min?: number; max?: number } {
  const best = Math.min(
    ...results.runs.flatMap((run) =>
      run.evaluations.flatMap(({ lossFull }) => (Number.isFinite(lossFull) ? lossFull : [])),
    ),
  );
  const early = results.runs
    .filter((run) => run.method === analysis.reference && run.evaluations.length > 4)
    .flatMap(
      (run) => run.evaluations.find((point) => point.flopsModel >= 0.12 * analysis.referenceCosts.flopsModel) ?? [],
    );
  const top = Math.max(...early.map((point) => point.lossFull));
  if (!Number.isFinite(top) || !Number.isFinite(best) || top <= best) return {};
  const margin = 0.05 * (top - best);
  return { min: Math.floor((best - margin) * 20) / 20, max: Math.ceil((top + margin) * 20) / 20 };
}

function targetLine(analysis: Analysis): ChartOption {
  const isFinal = analysis.methods.find(({ isReference }) => isReference)?.seeds.every(({ finished }) => finished);
  return {
    silent: true,
    symbol: 'none',
    lineStyle: { color: ink, type: 'dashed', width: 1 },
    label: {
      position: 'insideStartBottom',
      formatter: `${isFinal ? 'final loss' : 'loss so far'} of ${analysis.reference}: ${analysis.target.toFixed(4)}`,
      color: ink,
    },
    data: [{ yAxis: round(analysis.target) }],
  };
}

function lineSeries(
  name: string,
  data: readonly (readonly number[])[],
  line: { readonly color: string; readonly width: number; readonly opacity: number },
): ChartOption {
  return { type: 'line', name, data, showSymbol: false, lineStyle: line, itemStyle: { color: line.color } };
}

function toPoints(evaluations: readonly EvaluationPoint[], cost: CostName, factor: number): number[][] {
  return evaluations.map((point) => [round(point[cost] / factor), round(point.lossFull)]);
}

function axis(name: string, extra: ChartOption): ChartOption {
  return {
    type: 'value',
    name,
    nameLocation: 'middle',
    nameGap: name.startsWith('training') ? 30 : 44,
    axisLine: { show: true, lineStyle: { color: ink } },
    splitLine: { lineStyle: { color: faint, opacity: 0.4 } },
    ...extra,
  };
}

function timeUnit(greatestMs: number): readonly [number, string] {
  if (greatestMs >= 3 * 3600e3) return [3600e3, 'h'];
  return greatestMs >= 3 * 60e3 ? [60e3, 'min'] : [1e3, 's'];
}

/** The stages of a method in which more than one depth occurs, their steps summed over the seeds. */
function sampledStages(results: Results, method: string): { trainedLayers: number; depthSteps: number[] }[] {
  const all = results.runs.filter((run) => run.method === method).flatMap((run) => run.stages);
  const sums = [...new Set(all.map((stage) => stage.trainedLayers))].map((trainedLayers) => ({
    trainedLayers,
    depthSteps: Array.from({ length: results.layers + 1 }, (_, depth) =>
      total(all.filter((stage) => stage.trainedLayers === trainedLayers).map((stage) => stage.depthSteps[depth] ?? 0)),
    ),
  }));
  return sums.filter((stage) => stage.depthSteps.filter((steps) => steps > 0).length > 1);
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

/** Six significant digits keep the page small. */
function round(value: number): number {
  return Number(value.toPrecision(6));
}
