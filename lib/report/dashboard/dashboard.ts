/** The state of the dashboard: takes metric records and progress, gives the messages that pages are fed with. */
import type { MetricRecord } from '../metrics.js';
import { History, type RunHead } from './history.js';
import { type DashboardProgress, type DashboardState, type DashboardView, type ViewOptions, viewOf } from './view.js';

export interface DashboardOptions {
  /** Name of the run or comparison. */
  readonly title: string;
  readonly reference?: string | undefined;
  /** Rows kept of a curve. */
  readonly limit?: number | undefined;
}

export class Dashboard {
  readonly #options: DashboardOptions;
  readonly #history: History;
  #about = '';
  #state: DashboardState = 'preparing';
  #message = '';
  #progress: DashboardProgress = { label: '', done: 0 };
  #current: string | undefined;

  constructor(options: DashboardOptions) {
    this.#options = options;
    this.#history = new History(options.limit);
  }

  /** Model and data, once they are known. */
  describe(about: string): void {
    this.#about = about;
  }

  add(record: MetricRecord): void {
    this.#history.add(record);
    if (this.#state === 'preparing') {
      this.#state = 'running';
      this.#progress = { label: '', done: 0 }; // that of the preparation is over
    }
    // A run that another process had finished only says so; the tiles stay with those that train.
    if (record.type === 'step' || this.#current === undefined) this.#current = `${record.method}-${record.seed}`;
  }

  progress(progress: DashboardProgress): void {
    this.#progress = progress;
  }

  /** The end of everything; `message` says why it failed. */
  end(state: 'finished' | 'stopped' | 'failed', message = ''): void {
    this.#state = state;
    this.#message = message;
    this.#history.touch();
  }

  /** Everything, for a page that has just been opened. */
  snapshot(): DashboardView {
    const runs = this.#history.snapshot();
    return viewOf(this.#viewOptions(runs.map(({ head }) => head)), runs);
  }

  /** Changes since the last call, for pages that have the rest. */
  changes(): DashboardView {
    const heads = this.#history.heads();
    return viewOf(this.#viewOptions(heads), this.#history.changes());
  }

  #viewOptions(heads: readonly RunHead[]): ViewOptions {
    const { title, reference } = this.#options;
    const current = heads.find(({ id }) => id === this.#current);
    return {
      title,
      about: this.#about,
      state: this.#state,
      message: this.#message,
      progress: this.#progress,
      reference,
      current,
    };
  }
}
