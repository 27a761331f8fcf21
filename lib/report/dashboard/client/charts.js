/** The charts as echarts options, from the page's state. Pure: colours come as `theme`, nothing is drawn here. */
import { colorsOf } from './state.js';

/** Columns of the rows, see lib/report/dashboard/history.ts. */
const point = { step: 0, tokens: 1, flops: 2, trainMs: 3, loss: 4, learningRate: 5, rss: 6, device: 7 };
const evaluation = { step: 0, flops: 1, trainMs: 2, loss: 3 };
const growth = { step: 0, flops: 1, trainMs: 2, from: 3, to: 4 };

const prefixes = [
  [1e21, 'Z'],
  [1e18, 'E'],
  [1e15, 'P'],
  [1e12, 'T'],
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
];

/** Unit of an axis: its factor and the letter before the unit's name. */
export function decimalUnit(greatest) {
  return prefixes.find(([factor]) => greatest >= factor) ?? [1, ''];
}

export function timeUnit(greatestMs) {
  if (greatestMs >= 3 * 3600e3) return [3600e3, 'h'];
  return greatestMs >= 3 * 60e3 ? [60e3, 'min'] : [1e3, 's'];
}

export function byteUnit(greatest) {
  if (greatest >= 2 ** 30) return [2 ** 30, 'GiB'];
  return greatest >= 2 ** 20 ? [2 ** 20, 'MiB'] : [2 ** 10, 'KiB'];
}

/** Rows that a running mean takes: a fiftieth of the curve. */
const windowOf = (points) => Math.max(1, Math.round(points.length / 50));

/** Tokens per second over the last few rows, from the totals in them. */
export function throughput(points) {
  const span = windowOf(points);
  return points.flatMap((row, index) => {
    const before = points[index - span];
    const ms = row[point.trainMs] - (before?.[point.trainMs] ?? 0);
    const tokens = row[point.tokens] - (before?.[point.tokens] ?? 0);
    return ms > 0 ? [[row[point.step], Math.round((1e3 * tokens) / ms)]] : [];
  });
}

/** Points [x, loss] with the running mean of the last few losses; steps without a loss are left out. */
export function runningMean(points, x) {
  const span = windowOf(points);
  const rows = points.filter((row) => row[point.loss] !== null);
  let sum = 0;
  return rows.map((row, index) => {
    sum += row[point.loss] - (rows[index - span]?.[point.loss] ?? 0);
    return [x(row), sum / Math.min(span, index + 1)];
  });
}

/**
 * The loss above which nothing is shown: the first fall from the logarithm of the vocabulary would press the rest flat. The
 * greatest held-out loss after the first tenth of what has run; undefined while there are few evaluations.
 */
export function lossCeiling(runs) {
  const late = [...runs].flatMap(({ evaluations }) => {
    const end = evaluations.at(-1)?.[evaluation.flops] ?? 0;
    const rest = evaluations.filter((row) => row[evaluation.flops] >= 0.1 * end);
    return evaluations.length >= 8 ? rest.map((row) => row[evaluation.loss]) : [];
  });
  const losses = late.filter((loss) => loss !== null);
  if (losses.length === 0) return undefined;
  const [least, greatest] = [Math.min(...losses), Math.max(...losses)];
  return Math.ceil((greatest + 0.1 * (greatest - least)) * 20) / 20;
}

/** All options by the id of the chart's place. `choices`: `training`, `start` as the page's check boxes say. */
export function chartOptions(state, theme, choices) {
  return {
    'loss-flops': lossChart(state, theme, choices, 'flops'),
    'loss-time': lossChart(state, theme, choices, 'trainMs'),
    depth: depthChart(state, theme),
    throughput: stepChart(state, theme, { rows: ({ points }) => throughput(points), unit: decimalUnit, name: 'tok/s' }),
    memory: stepChart(state, theme, {
      rows: ({ points }) => points.map((row) => [row[point.step], row[point.rss]]),
      dashed: ({ points }) => points.map((row) => [row[point.step], row[point.device]]),
      unit: byteUnit,
      name: '',
    }),
    rate: stepChart(state, theme, {
      rows: ({ points }) => points.map((row) => [row[point.step], row[point.learningRate]]),
      unit: () => [1, ''],
      name: '',
    }),
  };
}

/** A method's colour, and how the lines of its second, third, … seed are broken. */
function stylesOf(state, theme) {
  const places = colorsOf(state);
  const seeds = [...new Set([...state.runs.values()].map(({ seed }) => seed))];
  const dashes = ['solid', 'dashed', 'dotted'];
  return ({ method, seed }) => {
    const place = places.get(method);
    const color = place === -1 ? theme.reference : theme.series[place % theme.series.length];
    return { color, type: dashes[seeds.indexOf(seed) % dashes.length] };
  };
}

function lossChart(state, theme, { training, start }, cost) {
  const runs = [...state.runs.values()];
  const style = stylesOf(state, theme);
  const greatest = Math.max(1, ...runs.map(({ points }) => points.at(-1)?.[point[cost]] ?? 0));
  const [factor, letter] = cost === 'flops' ? decimalUnit(greatest) : timeUnit(greatest);
  const ceiling = start ? undefined : lossCeiling(runs);
  const series = runs.flatMap((run) => {
    const { color, type } = style(run);
    const curve = run.evaluations.map((row) => [row[evaluation[cost]] / factor, row[evaluation.loss]]);
    const mean = runningMean(run.points, (row) => row[point[cost]] / factor);
    const thin = { ...line(run.method, mean, { color, width: 1, opacity: 0.35 }), silent: true, z: 1 };
    return [
      ...(training || curve.length === 0 ? [thin] : []),
      line(run.method, curve, { color, width: 2, type }),
      growthMarks(run, curve, { color, factor, cost, theme, named: runs.length === 1 }),
    ];
  });
  return {
    ...frame(theme),
    grid: { left: 52, right: 20, top: 34, bottom: 42 },
    legend: legend(theme, runs),
    dataZoom: [{ type: 'inside', filterMode: 'none' }],
    xAxis: axis(theme, cost === 'flops' ? `training FLOPs (${letter}FLOP)` : `training time (${letter})`, { min: 0 }),
    yAxis: axis(theme, '', {
      scale: true,
      axisLabel: { color: theme.soft, showMaxLabel: ceiling === undefined },
      ...(ceiling !== undefined && { max: ceiling }),
    }),
    series,
  };
}

/** Diamonds on the held-out curve where layers were added; "3 → 6" next to them where there is room, else in the tooltip. */
function growthMarks({ method, growths, points }, curve, { color, factor, cost, theme, named }) {
  const data = growths.flatMap((row) => {
    const x = row[growth[cost]] / factor;
    const y = heightAt(curve, x) ?? points.findLast((each) => each[point.step] <= row[growth.step])?.[point.loss];
    return y === undefined || y === null
      ? []
      : [{ name: `${row[growth.from]} → ${row[growth.to]} layers`, value: [x, y] }];
  });
  return {
    type: 'scatter',
    name: method,
    data,
    symbol: 'diamond',
    symbolSize: 11,
    itemStyle: { color, borderColor: theme.card, borderWidth: 1 },
    label: { show: named, position: 'right', formatter: '{b}', color, textBorderColor: theme.card, textBorderWidth: 3 },
    labelLayout: { hideOverlap: true },
    tooltip: { formatter: '{a}: {b}' },
    z: 6,
  };
}

/** Height of a curve at `x`, between its points; undefined beyond its ends. */
export function heightAt(curve, x) {
  const after = curve.findIndex(([there]) => there >= x);
  if (after < 0) return undefined;
  const [x1, y1] = curve[after];
  const [x0, y0] = curve[Math.max(0, after - 1)];
  return x1 === x0 ? y1 : y0 + ((y1 - y0) * (x - x0)) / (x1 - x0);
}

/** Bars for the runs that were active last: those of the seed that has got furthest. */
function depthChart(state, theme) {
  const all = [...state.runs.values()].filter(({ stages }) => stages.length > 0);
  const seed = all.at(-1)?.seed;
  const runs = all.filter((run) => run.seed === seed);
  const style = stylesOf(state, theme);
  const layers = Math.max(1, ...runs.map((run) => run.layers));
  const series = runs.map((run) => {
    const { trainedLayers, depthSteps } = run.stages.at(-1);
    const steps = depthSteps.reduce((sum, count) => sum + count, 0);
    const shares = Array.from({ length: layers }, (_, depth) => (100 * (depthSteps[depth + 1] ?? 0)) / steps);
    return {
      type: 'bar',
      name: `${run.method}, ${trainedLayers} of ${run.layers} layers`,
      data: shares.map((share) => Number(share.toPrecision(4))),
      itemStyle: { color: style(run).color },
      barCategoryGap: '30%',
    };
  });
  return {
    ...frame(theme),
    grid: { left: 46, right: 14, top: 28, bottom: 42 },
    xAxis: {
      ...axis(theme, 'depth of the step', {}),
      type: 'category',
      data: Array.from({ length: layers }, (_, depth) => String(depth + 1)),
    },
    yAxis: axis(theme, '', { min: 0, max: 100, axisLabel: { color: theme.soft, formatter: '{value} %' } }),
    series,
  };
}

/** A curve of each run against the step, and a dashed one where there are two. */
function stepChart(state, theme, { rows, dashed, unit, name }) {
  const runs = [...state.runs.values()];
  const style = stylesOf(state, theme);
  const greatest = Math.max(0, ...runs.flatMap((run) => rows(run).map(([, value]) => value)));
  const [factor, letter] = unit(greatest);
  const scaled = (data) => data.map(([step, value]) => [step, value / factor]);
  const title = letter === '' ? name : name === '' ? letter : `${letter}${name}`;
  const series = runs.flatMap((run) => {
    const { color } = style(run);
    return [
      line(run.method, scaled(rows(run)), { color, width: 1.5 }),
      ...(dashed ? [line(run.method, scaled(dashed(run)), { color, width: 1.5, type: 'dashed' })] : []),
    ];
  });
  return {
    ...frame(theme),
    grid: { left: 60, right: 18, top: 28, bottom: 42 },
    xAxis: axis(theme, 'step', { min: 0, minInterval: 1, splitNumber: 3 }),
    yAxis: {
      ...axis(theme, '', { min: 0, axisLabel: { color: theme.soft, formatter: small } }),
      name: title,
      nameLocation: 'end',
      nameGap: 8,
      nameTextStyle: { color: theme.soft, align: 'right', padding: [0, 4, 0, 0] },
    },
    series,
  };
}

/** Rates such as 0.0005 as "5e-4", others as they are. */
export function small(value) {
  return value !== 0 && Math.abs(value) < 0.01 ? value.toExponential().replace('e-', 'e−') : String(value);
}

function line(name, data, { color, width, type = 'solid', opacity = 1 }) {
  const lineStyle = { color, width, type, opacity };
  return { type: 'line', name, data, showSymbol: data.length === 1, symbolSize: 5, lineStyle, itemStyle: { color } };
}

function frame(theme) {
  return {
    animation: false,
    backgroundColor: 'transparent',
    textStyle: { fontFamily: theme.font, color: theme.ink },
    tooltip: {
      trigger: 'item',
      backgroundColor: theme.card,
      borderColor: theme.line,
      textStyle: { color: theme.ink, fontSize: 12 },
    },
  };
}

function legend(theme, runs) {
  return {
    type: 'scroll',
    top: 2,
    itemGap: 18,
    itemHeight: 10,
    textStyle: { color: theme.ink },
    pageTextStyle: { color: theme.soft },
    data: [...new Set(runs.map(({ method }) => method))],
  };
}

function axis(theme, name, extra) {
  return {
    type: 'value',
    name,
    nameLocation: 'middle',
    nameGap: 26,
    nameTextStyle: { color: theme.soft },
    axisLine: { show: true, lineStyle: { color: theme.line } },
    axisTick: { show: false },
    axisLabel: { color: theme.soft, hideOverlap: true },
    splitLine: { lineStyle: { color: theme.line } },
    ...extra,
  };
}
