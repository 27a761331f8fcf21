/** Output of the bench: all cells as JSON, a page with their table, and a picture. */
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { backwardShare, engineOverlap } from '../../lib/dist/index.js';
import { formatCount, formatPercent } from '../../lib/report/format.js';
import { renderSvg } from '../../lib/report/svg.js';
import { markdownTable } from '../../lib/report/table.js';
import { colors, panelChart, panelSize, type Series } from '../acceleration/figures/draw.js';
import { modes } from './modes.js';
import { peerName } from './peer.js';
import { places } from './places.js';

export interface Shape {
  readonly model: string;
  readonly batch: number;
  readonly seq: number;
  readonly ranks: number;
  /** Values of each run. */
  readonly steps: number;
  readonly machine: string;
}

/** A mode at a place. */
export interface Cell {
  readonly place: string;
  readonly mode: string;
  /** Per second of a link. */
  readonly bits?: number;
  /** Total of all ranks. */
  readonly tokens: number;
  /** Seconds of a message, measured at the place. */
  readonly latency?: number;
  /** The mean of all steps but the first, and what the model says, which knows no peer. */
  readonly stepSeconds: number;
  readonly plannedSeconds?: number;
  readonly tokensPerSecond: number;
  /** That all ranks send. */
  readonly bytesPerToken: number;
  /** Held-out, at the end. */
  readonly loss: number;
  /** Values of the peer. */
  readonly version?: string;
}

export interface Results {
  readonly shape: Shape;
  /** Seconds of a step of one rank, next to another; the model's parameters; bytes per second in memory; seconds of a message. */
  readonly machine:
    | { readonly compute: number; readonly parameters: number; readonly memory: number; readonly latency: number }
    | undefined;
  readonly cells: readonly Cell[];
}

export function deviation({ plannedSeconds, stepSeconds }: Cell): string {
  if (plannedSeconds === undefined) return '';
  const far = plannedSeconds / stepSeconds - 1;
  return `${far < 0 ? '' : '+'}${formatPercent(far)}`;
}

const modeNames = [...modes.map(({ name }) => name), peerName];

/** In the order of places and modes. */
function ordered({ cells }: Results): Cell[] {
  return places.flatMap((place) =>
    modeNames.flatMap((mode) => cells.filter((cell) => cell.place === place.name && cell.mode === mode)),
  );
}

export function tableOf(results: Results): string[][] {
  return [
    ['place', 'mode', 'step', 'planned', 'deviation', 'tokens/s', 'bytes per token', 'tokens', 'held-out loss'],
    ...ordered(results).map((cell) => [
      cell.place,
      cell.mode,
      `${(1e3 * cell.stepSeconds).toFixed(1)} ms`,
      cell.plannedSeconds === undefined ? '' : `${(1e3 * cell.plannedSeconds).toFixed(1)} ms`,
      deviation(cell),
      cell.tokensPerSecond.toFixed(0),
      cell.bytesPerToken.toFixed(0),
      formatCount(cell.tokens),
      cell.loss.toFixed(4),
    ]),
  ];
}

export async function writeResults(folder: string, results: Results): Promise<void> {
  write(join(folder, 'results.json'), `${JSON.stringify(results, undefined, 2)}\n`);
  if (results.cells.length === 0) return;
  write(join(folder, 'tokens-per-second.svg'), await renderSvg(panelChart([panel(results)], 1), panelSize(1, 1)));
  write(join(folder, 'README.md'), page(results));
}

function write(path: string, text: string): void {
  writeFileSync(`${path}.part`, text);
  renameSync(`${path}.part`, path);
}

const palette = [colors.red, colors.blue, colors.green, colors.pink, colors.yellow, colors.sky];

/** Tokens per second against the rate of the links, measured and planned. */
function panel(results: Results) {
  const linked = ordered(results).filter(({ bits }) => bits !== undefined);
  const series = modeNames.flatMap((name, i): Series[] => {
    const own = linked.filter(({ mode }) => mode === name).sort((a, b) => a.bits! - b.bits!);
    const color = palette[i % palette.length]!;
    const known = own.filter(({ plannedSeconds }) => plannedSeconds !== undefined);
    const planned = (cell: Cell) => (cell.tokensPerSecond * cell.stepSeconds) / cell.plannedSeconds!;
    return [
      { name, color, points: true, data: own.map((cell) => [cell.bits! / 1e6, cell.tokensPerSecond]) },
      { name: `${name}, planned`, color, dashed: true, data: known.map((cell) => [cell.bits! / 1e6, planned(cell)]) },
    ];
  });
  const { model, ranks } = results.shape;
  return {
    title: `${model} on ${ranks} ranks`,
    x: 'Mbit/s of a link',
    y: 'tokens per second',
    xLogarithmic: true,
    series,
  };
}

/**
 * The overlap as `plan --ranks` defines it: what a step with it saves, as a share of the backward pass. Where the exchange takes
 * longer than that pass.
 */
function overlapAt(place: string, { cells, machine }: Results): number | undefined {
  const of = (mode: string) => cells.find((cell) => cell.place === place && cell.mode === mode)?.stepSeconds;
  const [beside, behind] = [of('f32'), of('f32 without overlap')];
  return beside === undefined || behind === undefined
    ? undefined
    : (behind - beside) / (backwardShare * machine!.compute);
}

function page(results: Results): string {
  const { shape, machine, cells } = results;
  const version = cells.find((cell) => cell.version)?.version;
  const overlaps = places.flatMap(({ name, bits }) => {
    const overlap = bits ? overlapAt(name, results) : undefined;
    return overlap === undefined ? [] : [`${overlap.toFixed(2)} at ${name}`];
  });
  return [
    '# Two ranks over links of a rate',
    '',
    `\`npm run bench:distributed\`: ${shape.model} from scratch in f32, ${shape.ranks} ranks with one thread each and ${shape.batch} x ${shape.seq} tokens in a`,
    `micro-batch, ${shape.steps} steps, on ${shape.machine}. Over links the ranks run in network namespaces (scripts/namespaces.sh).`,
    '',
    markdownTable(tableOf(results)),
    '',
    '![tokens per second](tokens-per-second.svg)',
    '',
    'The planned times are those of `apollo-lm plan --ranks`. Its inputs are:',
    '',
    `- computation: ${(1e3 * machine!.compute).toFixed(1)} ms per step, measured with two processes side by side that exchange nothing;`,
    `- memory: ${(machine!.memory / 1e9).toFixed(2)} GB/s, from an exchange of 4 MiB between two ranks of one machine;`,
    '- latency: the measured time of a small message at each place;',
    '- links: 95 % of the nominal rate.',
    '',
    'On one machine the memory figure comes from the same kind of exchange, so those rows only check that the parts are added up',
    `correctly. The plan assumes that ${engineOverlap} of the backward pass can hide an exchange. Measured (the step without overlap minus the`,
    `step with it, divided by the backward pass, which is two thirds of the computation): ${overlaps.join(', ')}.`,
    '',
    ...(version
      ? [
          `PyTorch ${version} trains the same model by DistributedDataParallel over gloo, with one thread per process, the same rows and the`,
          'same learning rates. Its initial weights and dropout masks are its own. Its bytes are calculated (f32 gradients in a ring), not measured.',
        ]
      : []),
    'All losses are on the same held-out text, after the same number of tokens.',
    '',
  ].join('\n');
}
