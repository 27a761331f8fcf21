/** The words and figures around the dashboard's charts, ready to be shown: tiles for what runs now, a row for each run. */
import { formatBytes, formatCount, formatDuration, formatFlops, formatPercent } from '../format.js';
import type { RunChange, RunHead } from './history.js';
import type { SeriesChange } from './series.js';

export type DashboardState = 'preparing' | 'running' | 'finished' | 'stopped' | 'failed';

export interface DashboardProgress {
  /** The current task, e.g. "text: tokenise" or "apollo, seed 42". */
  readonly label: string;
  /** Share of everything that is done, 0 to 1. */
  readonly done: number;
  readonly etaMs?: number | undefined;
}

export interface Tile {
  readonly label: string;
  readonly value: string;
  readonly note: string;
}

/** A run as the page takes it. */
export interface RunView {
  readonly id: string;
  readonly method: string;
  readonly seed: number;
  readonly state: RunHead['state'];
  /** Cells of its row, as named by `columns`. */
  readonly row: readonly string[];
  readonly layers: number;
  readonly stages: RunHead['stages'];
  readonly growths: RunHead['growths'];
  readonly points: SeriesChange;
  readonly evaluations: SeriesChange;
}

export interface DashboardView {
  readonly title: string;
  /** Model and data. */
  readonly about: string;
  readonly state: DashboardState;
  /** Why it failed, or a warning. */
  readonly message: string;
  readonly done: number;
  readonly tiles: readonly Tile[];
  readonly columns: readonly string[];
  /** The method that others are compared with, in a comparison. */
  readonly reference?: string;
  /** Runs that are new or have changed. */
  readonly runs: readonly RunView[];
}

const columns = [
  'method',
  'seed',
  'state',
  'step',
  'layers trained',
  'held-out loss',
  'training loss',
  'tokens/s',
  'FLOPs',
  'training time',
];

export interface ViewOptions {
  readonly title: string;
  readonly about: string;
  readonly state: DashboardState;
  readonly message: string;
  readonly progress: DashboardProgress;
  readonly reference?: string | undefined;
  /** The run that reported last. */
  readonly current?: RunHead | undefined;
}

export function viewOf(options: ViewOptions, changes: readonly RunChange[]): DashboardView {
  const { title, about, state, progress, reference, current } = options;
  return {
    title,
    about,
    state,
    message: options.message || (current?.warning ?? ''),
    done: state === 'finished' ? 1 : Math.min(1, Math.max(0, progress.done)),
    tiles: tilesOf(state, progress, current),
    columns,
    ...(reference !== undefined && { reference }),
    runs: changes.map(({ head, points, evaluations }) => {
      const { id, method, seed, layers, stages, growths } = head;
      const ended = head.state === 'running' && (state === 'stopped' || state === 'failed');
      const shown = ended ? 'stopped' : head.state;
      return { id, method, seed, state: shown, row: rowOf(head, shown), layers, stages, growths, points, evaluations };
    }),
  };
}

function rowOf({ method, seed, step, steps, layers, stages, heldOut, latest }: RunHead, state: string): string[] {
  const trainedLayers = stages.at(-1)?.trainedLayers;
  return [
    method,
    String(seed),
    state,
    `${thousands(step)} / ${thousands(steps)}`,
    trainedLayers === undefined ? '' : `${trainedLayers} of ${layers}`,
    heldOut?.toFixed(4) ?? '',
    latest?.loss?.toFixed(4) ?? '',
    latest ? formatCount(latest.tokensPerSecond) : '',
    latest ? formatFlops(latest.flopsModel) : '',
    latest ? formatDuration(latest.trainMs) : '',
  ];
}

function tilesOf(state: DashboardState, progress: DashboardProgress, current: RunHead | undefined): Tile[] {
  const { latest, heldOut, stages = [], layers = 0, steps = 0, step = 0 } = current ?? {};
  const running = state === 'running' || state === 'preparing';
  const eta = progress.etaMs === undefined ? 'time left: unknown' : `${formatDuration(progress.etaMs)} left`;
  const device = latest ? latest.arenaBytes + latest.bufferBytes : 0;
  const stage = stages.length > 1 ? `stage ${stages.length}, ` : '';
  return [
    {
      label: 'Progress',
      value: formatPercent(state === 'finished' ? 1 : progress.done, 0),
      note: running ? eta : state,
    },
    {
      label: 'Step',
      value: thousands(step),
      note: current ? `of ${thousands(steps)}, ${current.method}, seed ${current.seed}` : progress.label,
    },
    { label: 'Held-out loss', value: heldOut?.toFixed(4) ?? dash, note: 'at full depth' },
    { label: 'Training loss', value: latest?.loss?.toFixed(4) ?? dash, note: 'of the last step' },
    {
      label: 'Layers trained',
      value: latest ? `${latest.trainedLayers} of ${layers}` : dash,
      note: latest ? `${stage}last step at depth ${latest.depth}` : '',
    },
    {
      label: 'Throughput',
      value: latest ? `${formatCount(latest.tokensPerSecond)} tok/s`.replace(/ ([kMG]) tok/, ' $1tok') : dash,
      note: latest ? `${formatDuration(latest.ms)} a step` : '',
    },
    {
      label: 'Learning rate',
      value: latest ? rate(latest.learningRate) : dash,
      note: latest?.applied === false ? 'update skipped' : '',
    },
    {
      label: 'Memory',
      value: latest ? formatBytes(latest.rssBytes) : dash,
      note: latest ? `device ${formatBytes(device)}, activations ${formatBytes(latest.arenaBytes)}` : '',
    },
  ];
}

const dash = '\u2013';

/** 12345 as "12,345". */
function thousands(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** Three significant digits, without a trailing run of zeros: 9.83e-4. */
function rate(learningRate: number): string {
  return learningRate === 0 ? '0' : learningRate.toExponential(2).replace('e-', '\u2009e\u2212');
}
