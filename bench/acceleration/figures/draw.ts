/** Pictures of several panels, in the style of the reports. */
import { spread } from '../../../lib/report/aggregate.js';
import type { ChartOption } from '../../../lib/report/charts.js';

export const colors = {
  grey: '#666666',
  blue: '#0072b2',
  red: '#d55e00',
  green: '#009e73',
  pink: '#cc79a7',
  yellow: '#e69f00',
  sky: '#56b4e9',
} as const;

const ink = '#333333';
const font = { fontFamily: 'Helvetica, Arial, sans-serif', fontSize: 12, color: ink };

export interface Series {
  /** Series of one name share their entry in the legend, which looks like the first of them. */
  readonly name: string;
  readonly color: string;
  readonly data: readonly (readonly number[])[];
  readonly width?: number;
  readonly opacity?: number;
  readonly dashed?: boolean;
  /** Whether the points are marked. */
  readonly points?: boolean;
}

export interface Panel {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly series: readonly Series[];
  readonly xRange?: readonly [number, number];
  readonly yMax?: number;
  readonly logarithmic?: boolean;
  readonly xLogarithmic?: boolean;
  /** Whether the vertical axis need not begin at 0. */
  readonly free?: boolean;
}

type Points = readonly (readonly [number, number])[];

/** The mean over seeds of a curve whose points all seeds share, and, where there are several, each seed's as a thin line. */
export function seedCurves(look: Pick<Series, 'name' | 'color'>, curves: readonly Points[]): Series[] {
  const [first = []] = curves;
  const data = first.map(([x], index) => [x, spread(curves.map((points) => points[index]?.[1] ?? Number.NaN)).mean]);
  const each = curves.map((points) => ({ ...look, data: points, width: 1, opacity: 0.3 }));
  return [{ ...look, data, points: true }, ...(curves.length > 1 ? each : [])];
}

const place = { left: 62, right: 16, top: 74, bottom: 52, gap: 84 } as const;

/** Panels in rows of `columns`, with one legend above them; drawn at the size that `panelSize` gives. */
export function panelChart(panels: readonly Panel[], columns = panels.length): ChartOption {
  const { width, height } = panelSize(panels.length, columns);
  const rows = Math.ceil(panels.length / columns);
  const cell = (width - 8) / columns;
  const inner = (height - place.top - place.bottom - (rows - 1) * place.gap) / rows;
  const boxes = panels.map((_, index) => ({
    left: 4 + (index % columns) * cell + place.left,
    top: place.top + Math.floor(index / columns) * (inner + place.gap),
    width: cell - place.left - place.right,
    height: inner,
  }));
  return {
    animation: false,
    backgroundColor: '#ffffff',
    textStyle: font,
    legend: { top: 8, itemGap: 20, data: [...new Set(panels.flatMap(({ series }) => series.map(({ name }) => name)))] },
    title: panels.map(({ title }, index) => ({
      text: title,
      left: boxes[index]!.left + boxes[index]!.width / 2,
      top: boxes[index]!.top - 24,
      textAlign: 'center',
      textStyle: { ...font, fontWeight: 'bold' },
    })),
    grid: boxes,
    xAxis: panels.map(({ x, xRange, xLogarithmic }, index) => ({
      type: xLogarithmic ? 'log' : 'value',
      gridIndex: index,
      name: x,
      nameLocation: 'middle',
      nameGap: 28,
      splitLine: { show: false },
      ...(xRange ? { min: xRange[0], max: xRange[1] } : { scale: true }),
    })),
    yAxis: panels.map(({ y, yMax, logarithmic, free }, index) => ({
      type: logarithmic ? 'log' : 'value',
      gridIndex: index,
      name: y,
      nameLocation: 'middle',
      nameGap: 44,
      axisLine: { show: true, onZero: false, lineStyle: { color: ink } },
      splitLine: { lineStyle: { color: '#bbbbbb', opacity: 0.4 } },
      ...(logarithmic || free ? { scale: true } : { min: 0 }),
      ...(yMax !== undefined && { max: yMax }),
    })),
    series: panels.flatMap(({ series }, index) =>
      series.map(({ name, color, data, width: line = 2, opacity = 1, dashed, points }) => ({
        type: 'line',
        name,
        xAxisIndex: index,
        yAxisIndex: index,
        data: data.map((point) => point.map((value) => Number(value.toPrecision(6)))),
        showSymbol: points ?? false,
        symbolSize: 5,
        lineStyle: { width: line, color, opacity, type: dashed ? 'dashed' : 'solid' },
        itemStyle: { color, opacity },
        z: line,
      })),
    ),
  };
}

/** Size of such a picture. */
export function panelSize(panels: number, columns = panels): { width: number; height: number } {
  const rows = Math.ceil(panels / columns);
  return { width: columns === 1 ? 720 : 400 * Math.min(columns, 3), height: 110 + 250 * rows + (rows - 1) * 40 };
}
