/**
 * Figures 2, 3 and 9: how often a step runs at which depth, by sampler and settings. Exact, from the distribution
 * functions, with the table derived from the paper's formulas next to it and a check by drawing.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type SamplerName as AnySampler,
  makeSampler,
  type SamplerShape,
  sampleDepth,
} from '../../../lib/growth/index.js';
import { renderSvg } from '../../../lib/report/svg.js';
import { markdownTable } from '../../../lib/report/table.js';
import type { Figure } from '../figure.js';
import { colors, type Panel, panelChart, panelSize } from './draw.js';
import { publish } from './publish.js';

const layers = 12;
const stages = [1, 3, 6] as const;
type TrainedLayers = (typeof stages)[number];
const draws = 200_000;
const seed = 42;

/** Values of the paper's formulas with the constants of its code, derived by hand to six digits. */
interface Derived {
  /** From depth = trainedLayers on. */
  readonly probabilities: readonly number[];
  readonly mean: number;
  readonly sd?: number;
}

const even = (trainedLayers: number): Derived => ({
  probabilities: Array.from({ length: layers - trainedLayers + 1 }, () => 1 / (layers - trainedLayers + 1)),
  mean: (trainedLayers + layers) / 2,
});
const only = (trainedLayers: number, depth: number): Derived => ({
  probabilities: Array.from({ length: layers - trainedLayers + 1 }, (_, index) =>
    index + trainedLayers === depth ? 1 : 0,
  ),
  mean: depth,
  sd: 0,
});

/** The samplers of the paper. */
export type SamplerName = Exclude<AnySampler, 'cost'>;

export const derived: Readonly<Record<SamplerName, Readonly<Record<TrainedLayers, Derived>>>> = {
  lvps: {
    1: {
      probabilities: [
        0.735593, 0.105085, 0.052542, 0.031525, 0.021017, 0.015012, 0.011259, 0.008757, 0.007006, 0.005732, 0.004777,
        0.001695,
      ],
      mean: 1.76677,
      sd: 1.7755,
    },
    3: {
      probabilities: [
        0.636842, 0.104211, 0.069474, 0.049624, 0.037218, 0.028947, 0.023158, 0.018947, 0.015789, 0.015789,
      ],
      mean: 4.225639,
      sd: 2.1673,
    },
    6: {
      probabilities: [0.647619, 0.085714, 0.066667, 0.053333, 0.043636, 0.036364, 0.066667],
      mean: 7.135411,
      sd: 1.8843,
    },
  },
  edge: {
    1: {
      probabilities: [
        0.399734, 0.032005, 0.023039, 0.019229, 0.017499, 0.01699, 0.017499, 0.019229, 0.023039, 0.032005, 0.067229,
        0.332504,
      ],
      mean: 6.332499,
    },
    3: {
      probabilities: [
        0.428463, 0.024488, 0.020099, 0.018155, 0.017589, 0.018155, 0.020099, 0.024488, 0.035466, 0.392996,
      ],
      mean: 7.392992,
    },
    6: {
      probabilities: [0.461115, 0.020151, 0.018735, 0.018735, 0.020151, 0.023753, 0.437361],
      mean: 8.937359,
    },
  },
  uniform: { 1: even(1), 3: even(3), 6: even(6) },
  full: { 1: only(1, 12), 3: only(3, 12), 6: only(6, 12) },
  none: { 1: only(1, 1), 3: only(3, 3), 6: only(6, 6) },
};

const titles: Readonly<Record<SamplerName, string>> = {
  lvps: 'LVPS',
  edge: 'ES',
  uniform: 'US',
  full: 'FS',
  none: 'none',
};
const names = Object.keys(titles) as SamplerName[];

/** Settings whose shapes are drawn; the first of each list is the released one. */
const lvpsShapes: readonly Required<Pick<SamplerShape, 'excess' | 'end'>>[] = [
  { excess: 0.4, end: 0.6 },
  { excess: 0.4, end: 0.3 },
  { excess: 0.4, end: 0.9 },
  { excess: 2, end: 0.6 },
];
const edgeShapes: readonly Required<Pick<SamplerShape, 'slope'>>[] = [
  { slope: 20 },
  { slope: 5 },
  { slope: 10 },
  { slope: 40 },
];

/** Smallest uniform number, as in lib/growth/samplers.ts. */
const smallest = 1e-6;

/** Density of the multiplier y before it is clamped to [1, ratio], on (end, ratio + excess). */
export function lvpsDensity(ratio: number, { excess, end }: { excess: number; end: number }): (y: number) => number {
  const begin = ratio + excess;
  const n = (begin * smallest - end) / (end - begin);
  const m = end * (n + 1);
  return (y) => (y <= end || y >= begin ? 0 : m / (y * y * (1 - smallest)));
}

/** The same of edge sampling. */
export function edgeDensity(
  ratio: number,
  { excess, end, slope }: { excess: number; end: number; slope: number },
): (y: number) => number {
  const begin = ratio + excess;
  return (y) => (y <= end || y >= begin ? 0 : (1 / (y - end) + 1 / (begin - y)) / slope);
}

interface Row {
  readonly sampler: SamplerName;
  readonly trainedLayers: TrainedLayers;
  readonly probabilities: readonly number[];
  readonly mean: number;
  readonly sd: number;
  readonly derived: Derived;
  readonly largestDifference: number;
  readonly drawn: { readonly count: number; readonly mean: number; readonly largestDifference: number };
  /** Difference of a drawn share from its probability in standard errors, at most over the depths. */
  readonly sigmas: number;
}

function momentsOf(probabilities: readonly number[]): { mean: number; sd: number } {
  const mean = probabilities.reduce((sum, p, depth) => sum + p * depth, 0);
  return { mean, sd: Math.sqrt(probabilities.reduce((sum, p, depth) => sum + p * (depth - mean) ** 2, 0)) };
}

/** One sampler in one stage: exact, derived, drawn. */
export function samplerRow(name: SamplerName, trainedLayers: TrainedLayers, count = draws): Row {
  const sampler = makeSampler(name);
  const probabilities = sampler.probabilities(trainedLayers, layers);
  const times = new Array<number>(layers + 1).fill(0);
  for (let step = 0; step < count; step++) {
    const depth = sampleDepth(sampler, trainedLayers, layers, seed, step);
    times[depth] = (times[depth] as number) + 1;
  }
  const shares = times.map((hits) => hits / count);
  const expected = derived[name][trainedLayers];
  const errors = probabilities.map((p, depth) => {
    const difference = Math.abs(p - (shares[depth] as number));
    const spread = Math.sqrt((p * (1 - p)) / count);
    return difference < 1e-12 ? 0 : spread === 0 ? Number.POSITIVE_INFINITY : difference / spread;
  });
  return {
    sampler: name,
    trainedLayers,
    probabilities,
    ...momentsOf(probabilities),
    derived: expected,
    largestDifference: Math.max(
      ...expected.probabilities.map((p, index) => Math.abs(p - (probabilities[index + trainedLayers] as number))),
    ),
    drawn: {
      count,
      mean: momentsOf(shares).mean,
      largestDifference: Math.max(...probabilities.map((p, depth) => Math.abs(p - (shares[depth] as number)))),
    },
    sigmas: Math.max(...errors),
  };
}

const palette = [colors.blue, colors.red, colors.green, colors.pink, colors.yellow];

const points = (probabilities: readonly number[], trainedLayers: number) =>
  probabilities.slice(trainedLayers).map((p, index) => [trainedLayers + index, p]);

/** Above: the density of the multiplier; below: the probabilities of the depths. One column per stage. */
function shapePanels(
  shapes: readonly SamplerShape[],
  name: 'lvps' | 'edge',
  label: (shape: SamplerShape) => string,
): Panel[] {
  const density = (ratio: number, { excess = 0.4, end = 0.6, slope = 20 }: SamplerShape) =>
    name === 'lvps' ? lvpsDensity(ratio, { excess, end }) : edgeDensity(ratio, { excess, end, slope });
  const densities = stages.map((trainedLayers): Panel => {
    const ratio = layers / trainedLayers;
    return {
      title: `u = ${trainedLayers}: density of y`,
      x: 'multiplier y, depth = floor(u y) within [u, 12]',
      y: 'density',
      xRange: [0, ratio + 2],
      yMax: name === 'lvps' ? 2 : 1,
      series: shapes.map((shape, index) => {
        const at = density(ratio, shape);
        const samples = Array.from({ length: 400 }, (_, i) => ((i + 0.5) / 400) * (ratio + 2));
        const inside = samples.filter((y) => at(y) > 0);
        return {
          name: label(shape),
          color: palette[index] as string,
          data: inside.map((y) => [y, Math.min(at(y), 4)]),
        };
      }),
    };
  });
  const depths = stages.map(
    (trainedLayers): Panel => ({
      title: `u = ${trainedLayers}: depths`,
      x: 'depth d of the step',
      y: 'P(d)',
      xRange: [0, layers],
      series: shapes.map((shape, index) => ({
        name: label(shape),
        color: palette[index] as string,
        points: true,
        data: points(makeSampler(name, shape).probabilities(trainedLayers, layers), trainedLayers),
      })),
    }),
  );
  return [...densities, ...depths];
}

/** E[d], P(d = u) and P(d = 12) of each setting in each stage. */
function shapeTable(
  shapes: readonly SamplerShape[],
  name: 'lvps' | 'edge',
  label: (shape: SamplerShape) => string,
): string[][] {
  const header = ['setting', ...stages.flatMap((trainedLayers) => [`E[d], u = ${trainedLayers}`, 'P(u)', 'P(12)'])];
  const rows = shapes.map((shape, index) => {
    const sampler = makeSampler(name, shape);
    const cells = stages.flatMap((trainedLayers) => {
      const probabilities = sampler.probabilities(trainedLayers, layers);
      return [
        momentsOf(probabilities).mean.toFixed(3),
        (probabilities[trainedLayers] as number).toFixed(3),
        (probabilities[layers] as number).toFixed(3),
      ];
    });
    return [label(shape) + (index === 0 ? ' (released)' : ''), ...cells];
  });
  return [header, ...rows];
}

const lvpsLabel = ({ excess, end }: SamplerShape) => `excess ${excess}, end ${end}`;
const edgeLabel = ({ slope }: SamplerShape) => `slope ${slope}`;

function reading(rows: readonly Row[]): string {
  const worst = Math.max(...rows.map((row) => row.largestDifference));
  const sigmas = Math.max(...rows.map((row) => row.sigmas));
  const equal = worst <= 6e-7 ? 'equal to the last of their six digits' : `NOT equal: they differ by ${worst}`;
  const drawn =
    sigmas < 5
      ? `and the shares of ${draws.toLocaleString('en')} draws are within ${sigmas.toFixed(1)} standard errors of them`
      : `BUT shares of ${draws.toLocaleString('en')} draws are up to ${sigmas.toFixed(1)} standard errors away from them`;
  const meanOf = (name: SamplerName, trainedLayers: TrainedLayers) =>
    rows.find((row) => row.sampler === name && row.trainedLayers === trainedLayers)?.mean ?? Number.NaN;
  const cheapest = stages.every((trainedLayers) =>
    names.every(
      (name) => name === 'none' || name === 'lvps' || meanOf(name, trainedLayers) > meanOf('lvps', trainedLayers),
    ),
  );
  return (
    `The probabilities are ${equal} (largest difference ${worst.toExponential(1)}), ${drawn}. ` +
    (cheapest
      ? 'In every stage LVPS has the lowest mean depth of the samplers that ever go deeper than the trained layers.'
      : 'LVPS does not have the lowest mean depth of the samplers in every stage.')
  );
}

export const samplerShapes: Figure = {
  name: 'fig2-3',
  title: 'Sampler shapes and densities (Figures 2, 3 and 9)',
  async make(context) {
    const { out, say } = context;
    const rows: Row[] = [];
    for (const name of names) {
      for (const trainedLayers of stages) {
        if (context.signal.aborted) return false;
        rows.push(samplerRow(name, trainedLayers));
      }
      say(`${titles[name]}: ${draws.toLocaleString('en')} draws in each of ${stages.length} stages`);
    }

    const samplersPanels = stages.map(
      (trainedLayers): Panel => ({
        title: `${trainedLayers} trained ${trainedLayers === 1 ? 'layer' : 'layers'}`,
        x: 'depth d of the step',
        y: 'P(d)',
        xRange: [0, layers],
        series: names.map((name, index) => ({
          name: titles[name],
          color: palette[index] as string,
          points: true,
          data: points(makeSampler(name).probabilities(trainedLayers, layers), trainedLayers),
        })),
      }),
    );
    const pictures = {
      'lvps.svg': [shapePanels(lvpsShapes, 'lvps', lvpsLabel), 3],
      'samplers.svg': [samplersPanels, 3],
      'edge.svg': [shapePanels(edgeShapes, 'edge', edgeLabel), 3],
    } as const;
    for (const [file, [panels, columns]] of Object.entries(pictures)) {
      await writeFile(join(out, file), await renderSvg(panelChart(panels, columns), panelSize(panels.length, columns)));
    }

    const summary = [
      ['sampler', 'u', 'E[d]', 'derived', 'drawn', 'sd', 'derived', 'largest difference', 'of draws'],
      ...rows.map(({ sampler, trainedLayers, mean, sd, derived: of, largestDifference, drawn }) => [
        titles[sampler],
        String(trainedLayers),
        mean.toFixed(6),
        of.mean.toFixed(6),
        drawn.mean.toFixed(3),
        sd.toFixed(4),
        of.sd?.toFixed(4) ?? '-',
        largestDifference.toExponential(1),
        drawn.largestDifference.toFixed(4),
      ]),
    ];
    const find = (name: SamplerName, trainedLayers: TrainedLayers) =>
      rows.find((row) => row.sampler === name && row.trainedLayers === trainedLayers) as Row;
    const columns = (['lvps', 'edge'] as const).flatMap((name) =>
      stages.map((trainedLayers) => find(name, trainedLayers)),
    );
    const exact = [
      [
        'd',
        ...columns.flatMap(({ sampler, trainedLayers }) => [`${titles[sampler]}, u = ${trainedLayers}`, 'derived']),
      ],
      ...Array.from({ length: layers }, (_, index) => [
        String(index + 1),
        ...columns.flatMap(({ trainedLayers, probabilities, derived: of }) =>
          index + 1 < trainedLayers
            ? ['', '']
            : [
                (probabilities[index + 1] as number).toFixed(6),
                (of.probabilities[index + 1 - trainedLayers] as number).toFixed(6),
              ],
        ),
      ]),
    ];
    await publish(context, {
      title: samplerShapes.title,
      result: { layers, seed, draws, rows },
      body: [
        'The paper draws the shape of LVPS for several settings (Figure 2), the densities of its samplers (Figure 3) and the ' +
          'shape of edge sampling for several slopes (Figure 9), without numbers. Here are the probabilities of all depths of a ' +
          '12-layer model with 1, 3 and 6 trained layers, from the distribution functions in `lib/growth/samplers.ts`; beside ' +
          'them ("derived") the values that the constants of the released code give in closed form. No training is involved ' +
          'and every scale is the same.',
        markdownTable(summary),
        reading(rows),
        '![samplers](samplers.svg)',
        markdownTable(exact),
        'LVPS by its two settings: `end` is the lower end of the multiplier, `excess` how far its upper end lies beyond full depth.',
        markdownTable(shapeTable(lvpsShapes, 'lvps', lvpsLabel)),
        '![LVPS](lvps.svg)',
        'Edge sampling by its slope:',
        markdownTable(shapeTable(edgeShapes, 'edge', edgeLabel)),
        '![edge sampling](edge.svg)',
      ],
    });
    return true;
  },
};
