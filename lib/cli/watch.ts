/**
 * What follows the runs of a command while they train: a metrics file for each, TensorBoard's files and the dashboard where
 * they are asked for. All of them are fed with the same records.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { ApolloError } from '../errors.js';
import { Dashboard } from '../report/dashboard/index.js';
import type { MetricRecord } from '../report/metrics.js';
import type { TrainEvent } from '../train/index.js';
import type { Settings } from './config.js';
import { DashboardServer } from './dashboard.js';
import type { CommandIo } from './io.js';
import { MetricsFile, metricRecord, metricsFile } from './metrics.js';
import type { ProgressState } from './progress.js';
import type { RunFolder } from './run-folder.js';
import type { Session } from './session.js';
import { TensorBoardRun } from './tensorboard.js';

/** Milliseconds between two looks at the memory in use. */
const memoryMs = 250;

/** Keeps the port, so that an open page finds the run again when it is resumed. */
const dashboardFile = 'dashboard.json';

export interface WatchedRun {
  readonly method: string;
  readonly seed: number;
  /** Where its metrics go. */
  readonly folder: string;
}

interface OpenRun {
  readonly metrics: MetricsFile;
  readonly tensorboard: TensorBoardRun | undefined;
}

export class Watch {
  readonly #folder: RunFolder;
  readonly #io: CommandIo;
  readonly #dashboard: Dashboard | undefined;
  readonly #server: DashboardServer | undefined;
  readonly #runs = new Map<string, OpenRun>();
  #session: Session | undefined;
  #memory = { rssBytes: 0, arenaBytes: 0, bufferBytes: 0 };
  #memoryAt = Number.NEGATIVE_INFINITY;
  #ended = false;

  private constructor(folder: RunFolder, io: CommandIo, dashboard?: Dashboard, server?: DashboardServer) {
    this.#folder = folder;
    this.#io = io;
    this.#dashboard = dashboard;
    this.#server = server;
  }

  /**
   * Opens the dashboard, where there is to be one. `reference`: the method that others are compared with.
   * @throws ApolloError BAD_CONFIG when its port is taken.
   */
  static async open(folder: RunFolder, io: CommandIo, reference?: string): Promise<Watch> {
    const { settings, path } = folder;
    if (settings.dashboard === false) return new Watch(folder, io);
    const dashboard = new Dashboard({ title: path, reference });
    const server = await DashboardServer.open(dashboard, portsOf(folder));
    writeFileSync(join(path, dashboardFile), `${JSON.stringify({ port: server.port })}\n`);
    return new Watch(folder, io, dashboard, server);
  }

  /** Where the dashboard is, when there is one. */
  get url(): string | undefined {
    return this.#server?.url;
  }

  /** Everything that the command shows as progress. */
  progress({ label, done, etaMs }: ProgressState): void {
    this.#dashboard?.progress({ label, done, etaMs });
    this.#server?.changed();
  }

  /** What is trained on what, and the device whose memory is watched. */
  begin(session: Session): void {
    this.#session = session;
    const { structure, data } = session.description;
    this.#dashboard?.describe(`${structure}; ${data}; ${session.precision}`);
    this.#server?.changed();
  }

  /** @throws ApolloError BAD_CONFIG when a file cannot be written. */
  async add(run: WatchedRun, event: TrainEvent): Promise<void> {
    const { method, seed } = run;
    const time = new Date().toISOString();
    const record = metricRecord(event, { method, seed, time, memory: this.#memoryNow() });
    if (!record) return;
    try {
      const open = event.type === 'start' ? await this.#openRun(run, event) : this.#runs.get(keyOf(run));
      if (!open || open.metrics.holds(record)) return;
      await open.metrics.add(record);
      await open.tensorboard?.add(record);
    } catch (error) {
      if (error instanceof ApolloError || (error as NodeJS.ErrnoException).syscall === undefined) throw error;
      throw new ApolloError('BAD_CONFIG', `The metrics cannot be written: ${(error as Error).message}`);
    }
    this.#dashboard?.add(record);
    this.#server?.changed();
  }

  /**
   * Does a command's work and ends what watches it: files are closed, the dashboard shows how it came out and is ended, at
   * once or, where it is to be kept, when `signal` fires.
   */
  async during(signal: AbortSignal, work: () => Promise<'finished' | 'stopped'>): Promise<'finished' | 'stopped'> {
    try {
      const outcome = await work();
      await this.#end(outcome);
      if (this.#server && this.#folder.settings.dashboardKeep && !signal.aborted) {
        this.#io.stderr.write(`The dashboard stays at ${this.#server.url} until Ctrl-C.\n`);
        await new Promise<void>((done) => signal.addEventListener('abort', () => done(), { once: true }));
      }
      return outcome;
    } catch (error) {
      const stopped = signal.aborted && (error as { code?: unknown }).code === 'ABORT_ERR';
      await this.#end(stopped ? 'stopped' : 'failed', stopped ? '' : (error as Error).message);
      throw error;
    } finally {
      await this.#server?.close();
    }
  }

  /** Whether the work is over and only the dashboard is kept. */
  get ended(): boolean {
    return this.#ended;
  }

  async #end(state: 'finished' | 'stopped' | 'failed', message = ''): Promise<void> {
    this.#ended = true;
    this.#session = undefined;
    this.#dashboard?.end(state, message);
    this.#server?.flush();
    const files = [...this.#runs.values()].flatMap(({ metrics, tensorboard }) => [metrics, tensorboard]);
    this.#runs.clear();
    for (const file of files) await file?.close();
  }

  async #openRun(run: WatchedRun, { step, resumedFrom }: TrainEvent & { type: 'start' }): Promise<OpenRun> {
    const { settings } = this.#folder;
    const { method, seed, folder } = run;
    const resumedAt = resumedFrom === undefined ? undefined : step;
    const tensorboard = settings.tensorboard
      ? await TensorBoardRun.open(join(this.#tensorboardFolder(settings), `${method}-${seed}`), resumedAt)
      : undefined;
    const recall = (record: MetricRecord) => {
      this.#dashboard?.add(record);
      tensorboard?.recall(record);
    };
    const metrics = await MetricsFile.open(join(folder, metricsFile), resumedAt, recall);
    const open = { metrics, tensorboard };
    this.#runs.set(keyOf(run), open);
    if (step === 0) {
      const { out, resume, dashboard, dashboardKeep, tensorboard: _, ...kept } = settings;
      await tensorboard?.describe({ run: { method, seed, ...this.#session?.description }, settings: kept });
    }
    return open;
  }

  /** Runs of several commands may share a folder of the user's, so theirs is in it. */
  #tensorboardFolder({ tensorboard }: Settings): string {
    const { path } = this.#folder;
    return typeof tensorboard === 'string' ? join(tensorboard, basename(resolve(path))) : join(path, 'tensorboard');
  }

  #memoryNow() {
    const now = this.#io.now();
    if (now - this.#memoryAt >= memoryMs && this.#session) {
      const { arenaBytes, bufferBytes } = this.#session.device.info();
      this.#memory = { rssBytes: process.memoryUsage.rss(), arenaBytes, bufferBytes };
      this.#memoryAt = now;
    }
    return this.#memory;
  }
}

const keyOf = ({ method, seed }: WatchedRun) => `${method}-${seed}`;

/** The port that was asked for; else that of before the resume, if it is free, or any. */
function portsOf({ settings, path, resume }: RunFolder): number[] {
  const { dashboard } = settings;
  if (typeof dashboard === 'number' && dashboard !== 0) return [dashboard];
  const file = join(path, dashboardFile);
  if (!resume || !existsSync(file)) return [0];
  const port = Number(/"port":(\d+)/.exec(readFileSync(file, 'utf8'))?.[1] ?? 0);
  return port > 0 && port < 65536 ? [port, 0] : [0];
}
