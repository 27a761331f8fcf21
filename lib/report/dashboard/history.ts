/**
 * Data of the dashboard, collected from metric records: for each run its curves, thinned, its stages and where it is.
 * Knows neither servers nor pages; `snapshot` is all of it, `changes` what is new since the last call.
 */
import type { DoneMetrics, MetricRecord, StartMetrics, StepMetrics } from '../metrics.js';
import { type Column, type Row, type SeriesChange, ThinnedSeries } from './series.js';

/** Columns of `points`: a training step, or the mean over several. */
export const pointColumns = ['step', 'tokens', 'flops', 'trainMs', 'loss', 'learningRate', 'rss', 'device'] as const;
const pointKinds: readonly Column[] = ['last', 'last', 'last', 'last', 'mean', 'last', 'max', 'max'];
/** Columns of `evaluations`: held-out loss at full depth. */
export const evaluationColumns = ['step', 'flops', 'trainMs', 'loss'] as const;
/** Columns of `growths`: a switch to more layers. */
export const growthColumns = ['step', 'flops', 'trainMs', 'from', 'to'] as const;

export interface StageHistory {
  readonly step: number;
  readonly trainedLayers: number;
  /** Steps of the stage that ran at each depth (index = depth). */
  readonly depthSteps: readonly number[];
}

/** Everything of a run but its curves: small, sent whole with each change. */
export interface RunHead {
  readonly id: string;
  readonly method: string;
  readonly seed: number;
  readonly state: 'running' | 'finished' | 'stopped';
  readonly steps: number;
  readonly layers: number;
  readonly stages: readonly StageHistory[];
  readonly growths: readonly Row[];
  /** The last step and the last evaluation, with what they reported. */
  readonly step: number;
  readonly latest?: StepMetrics;
  readonly heldOut?: number;
  readonly warning?: string;
}

export interface RunChange {
  readonly head: RunHead;
  readonly points: SeriesChange;
  readonly evaluations: SeriesChange;
}

export class History {
  readonly #runs = new Map<string, RunHistory>();
  readonly #limit: number;

  /** `limit`: rows kept of a curve. */
  constructor(limit = 1000) {
    this.#limit = limit;
  }

  /** Records of a run come in the order of its steps; a start record that does not resume resets the run. */
  add(record: MetricRecord): void {
    const id = `${record.method}-${record.seed}`;
    let run = this.#runs.get(id);
    if (!run || (record.type === 'start' && !record.resumed)) {
      run = new RunHistory(id, record, this.#limit);
      this.#runs.set(id, run);
    }
    run.add(record);
  }

  snapshot(): RunChange[] {
    return [...this.#runs.values()].map((run) => run.whole());
  }

  /** Has every run in the next changes. */
  touch(): void {
    for (const run of this.#runs.values()) run.changed = true;
  }

  heads(): RunHead[] {
    return [...this.#runs.values()].map((run) => run.head());
  }

  /** The runs that have changed, with the ends of their curves. */
  changes(): RunChange[] {
    return [...this.#runs.values()].filter((run) => run.changed).map((run) => run.takeChange());
  }
}

class RunHistory {
  changed = true;
  readonly #id: string;
  readonly #first: MetricRecord;
  readonly #points: ThinnedSeries;
  readonly #evaluations: ThinnedSeries;
  readonly #stages: { step: number; trainedLayers: number; depthSteps: number[] }[] = [];
  #growths: Row[] = [];
  #start: StartMetrics | undefined;
  #latest: StepMetrics | undefined;
  #heldOut: number | undefined;
  #warning: string | undefined;
  #done: DoneMetrics | undefined;

  constructor(id: string, first: MetricRecord, limit: number) {
    this.#id = id;
    this.#first = first;
    this.#points = new ThinnedSeries(pointKinds, limit);
    this.#evaluations = new ThinnedSeries(
      evaluationColumns.map(() => 'last'),
      limit,
    );
  }

  add(record: MetricRecord): void {
    this.changed = true;
    const { flopsModel = 0, trainMs = 0 } = this.#latest ?? {};
    switch (record.type) {
      case 'start':
        this.#start = record;
        this.#done = undefined;
        return;
      case 'step': {
        const { step, tokens, loss, learningRate, rssBytes, arenaBytes, bufferBytes } = record;
        const costs = [tokens, round(record.flopsModel), round(record.trainMs)];
        this.#points.add([
          step,
          ...costs,
          loss && round(loss),
          round(learningRate),
          rssBytes,
          arenaBytes + bufferBytes,
        ]);
        this.#countDepth(record);
        this.#latest = record;
        return;
      }
      case 'evaluation':
        this.#evaluations.add([
          record.step,
          round(record.flopsModel),
          round(record.trainMs),
          record.lossFull && round(record.lossFull),
        ]);
        this.#heldOut = record.lossFull ?? undefined;
        return;
      case 'growth':
        this.#growths = this.#growths.filter(([step]) => step !== record.step);
        this.#growths.push([record.step, round(flopsModel), round(trainMs), record.from, record.to]);
        return;
      case 'warning':
        this.#warning = record.message;
        return;
      case 'done':
        this.#done = record;
    }
  }

  whole(): RunChange {
    return {
      head: this.head(),
      points: { from: 0, rows: this.#points.rows },
      evaluations: { from: 0, rows: this.#evaluations.rows },
    };
  }

  takeChange(): RunChange {
    this.changed = false;
    return { head: this.head(), points: this.#points.takeChange(), evaluations: this.#evaluations.takeChange() };
  }

  #countDepth({ step, trainedLayers, depth }: StepMetrics): void {
    // A stage is recognised by its trained layers or by a growth just before (stages of equally many layers, as LiGO's first).
    const grown = this.#growths.at(-1)?.[0] === step - 1;
    if (this.#stages.at(-1)?.trainedLayers !== trainedLayers || grown)
      this.#stages.push({ step: step - 1, trainedLayers, depthSteps: [] });
    const { depthSteps } = this.#stages.at(-1)!;
    while (depthSteps.length <= depth) depthSteps.push(0);
    depthSteps[depth]! += 1;
  }

  head(): RunHead {
    const { method, seed } = this.#first;
    return {
      id: this.#id,
      method,
      seed,
      state: !this.#done ? 'running' : this.#done.complete ? 'finished' : 'stopped',
      steps: this.#start?.steps ?? 0,
      layers: this.#start?.layers ?? 0,
      stages: this.#stages.map((stage) => ({ ...stage, depthSteps: [...stage.depthSteps] })),
      growths: [...this.#growths],
      step: this.#latest?.step ?? this.#start?.step ?? 0,
      ...(this.#latest && { latest: this.#latest }),
      ...(this.#heldOut !== undefined && { heldOut: this.#heldOut }),
      ...(this.#warning !== undefined && { warning: this.#warning }),
    };
  }
}

/** Six significant digits keep the page light. */
function round(value: number): number {
  return Number(value.toPrecision(6));
}
