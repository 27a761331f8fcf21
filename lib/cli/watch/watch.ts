/**
 * What follows the runs of a command while they train: a metrics file for each, TensorBoard's files and the dashboard where
 * they are asked for. All of them are fed with the same records. None of them ends a run: a failed write is reported when
 * it happens and again at the end, and the run continues without it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { ApolloError } from '../../errors.js';
import { inWords, isSystemError } from '../../fs/error.js';
import { writeWholeFile } from '../../fs/whole-file.js';
import { Dashboard } from '../../report/dashboard/index.js';
import type { MetricRecord } from '../../report/metrics.js';
import type { TrainEvent } from '../../train/index.js';
import type { CommandIo } from '../io.js';
import { warnOfLostOutput } from '../output.js';
import type { Session } from '../session.js';
import type { RunFolder } from '../settings/run-folder.js';
import type { Settings } from '../settings/schema.js';
import { DashboardServer } from './dashboard.js';
import { MetricsFile, metricRecord, metricsFile } from './metrics.js';
import type { ProgressState } from './progress.js';
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
  readonly metrics: MetricsFile | undefined;
  readonly tensorboard: TensorBoardRun | undefined;
}

/** A file that the run continues without. */
interface Lost {
  /** "The metrics of apollo-42". */
  readonly what: string;
  readonly step: number;
  readonly reason: string;
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
  readonly #lost = new Map<string, Lost>();
  #warn: (text: string) => void;

  private constructor(folder: RunFolder, io: CommandIo, dashboard?: Dashboard, server?: DashboardServer) {
    this.#folder = folder;
    this.#io = io;
    this.#dashboard = dashboard;
    this.#server = server;
    this.#warn = (text) => io.stderr.write(`warning: ${text}\n`);
  }

  /**
   * Opens the dashboard if one is wanted. `reference`: the method that others are compared with.
   * @throws ApolloError BAD_CONFIG when its port is taken.
   */
  static async open(folder: RunFolder, io: CommandIo, reference?: string): Promise<Watch> {
    const { settings, path } = folder;
    if (settings.dashboard === false) return new Watch(folder, io);
    const dashboard = new Dashboard({ title: path, reference });
    const server = await DashboardServer.open(dashboard, portsOf(folder));
    const watch = new Watch(folder, io, dashboard, server);
    const file = join(path, dashboardFile);
    await watch.#try('The port of the dashboard', 0, () =>
      writeWholeFile(file, `${JSON.stringify({ port: server.port })}\n`, 'The port'),
    );
    return watch;
  }

  /** Warnings go to `warn` from now on. */
  warnBy(warn: (text: string) => void): void {
    this.#warn = warn;
    warnOfLostOutput(this.#io.stdout, warn);
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

  /** Model and data of the run, and the device whose memory is watched. */
  begin(session: Session): void {
    this.#session = session;
    const { structure, data } = session.description;
    this.#dashboard?.describe(`${structure}; ${data}; ${session.precision}`);
    this.#server?.changed();
  }

  /** Hands an event on to all that follow its run. */
  async add(run: WatchedRun, event: TrainEvent): Promise<void> {
    const { method, seed } = run;
    const time = new Date().toISOString();
    const record = metricRecord(event, { method, seed, time, memory: this.#memoryNow() });
    if (!record) return;
    if (event.type === 'start') {
      this.#folder.begun = true;
      await this.#openRun(run, event);
    }
    const { metrics, tensorboard } = this.#runs.get(keyOf(run)) ?? {};
    if (metrics?.holds(record)) return;
    if (metrics) await this.#try(metricsOf(run), event.step, () => metrics.add(record));
    if (tensorboard) await this.#try(tensorboardOf(run), event.step, () => tensorboard.add(record));
    this.#dashboard?.add(record);
    this.#server?.changed();
  }

  /** Writes something that the run can do without and that is written again later; an error is reported once. */
  async attempt(what: string, step: number, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.#lost.delete(what);
    } catch (error) {
      if (!(error instanceof ApolloError && error.code === 'FILE_SYSTEM')) throw error;
      if (!this.#lost.has(what)) this.#warn(error.message);
      this.#lost.set(what, { what, step, reason: error.message });
    }
  }

  /** Does the work of one follower, unless it has failed before. */
  async #try<Result>(what: string, step: number, work: () => Promise<Result>): Promise<Result | undefined> {
    if (this.#lost.has(what)) return undefined;
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ApolloError) && !isSystemError(error)) throw error;
      const reason = error instanceof ApolloError ? error.message : `${inWords(error)}.`;
      this.#lost.set(what, { what, step, reason });
      this.#warn(`${what} cannot be written from step ${step} on: ${reason} The run continues without.`);
      return undefined;
    }
  }

  /**
   * Does a command's work and ends what watches it: files are closed, the dashboard shows how it came out and is ended, at
   * once or, if it must stay open, when `signal` fires.
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
    for (const file of files) await file?.close().catch(() => {});
    for (const { what, step, reason } of this.#lost.values()) {
      this.#warn(`${what} lack what came after step ${step}: ${reason}`);
    }
  }

  async #openRun(run: WatchedRun, { step, resumedFrom }: TrainEvent & { type: 'start' }): Promise<void> {
    const { settings } = this.#folder;
    const { method, seed, folder } = run;
    const resumedAt = resumedFrom === undefined ? undefined : step;
    const place = join(this.#tensorboardFolder(settings), `${method}-${seed}`);
    const tensorboard = settings.tensorboard
      ? await this.#try(tensorboardOf(run), step, () => TensorBoardRun.open(place, resumedAt))
      : undefined;
    const recall = (record: MetricRecord) => {
      this.#dashboard?.add(record);
      tensorboard?.recall(record);
    };
    const path = join(folder, metricsFile);
    const metrics = await this.#try(metricsOf(run), step, () => MetricsFile.open(path, resumedAt, recall));
    if (metrics?.earlier) {
      this.#warn(
        `${method}, seed ${seed} starts at step 0; the metrics of an earlier start are kept as ${metrics.earlier}.`,
      );
    }
    this.#runs.set(keyOf(run), { metrics, tensorboard });
    if (step === 0 && tensorboard) {
      const { out, resume, dashboard, dashboardKeep, tensorboard: _, ...kept } = settings;
      const tables = { run: { method, seed, ...this.#session?.description }, settings: kept };
      await this.#try(tensorboardOf(run), step, () => tensorboard.describe(tables));
    }
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
const metricsOf = (run: WatchedRun) => `The metrics of ${keyOf(run)}`;
const tensorboardOf = (run: WatchedRun) => `TensorBoard's files of ${keyOf(run)}`;

/** The port that was asked for; else that of before the resume, if it is free, or any. */
function portsOf({ settings, path, resume }: RunFolder): number[] {
  const { dashboard } = settings;
  if (typeof dashboard === 'number' && dashboard !== 0) return [dashboard];
  const file = join(path, dashboardFile);
  if (!resume || !existsSync(file)) return [0];
  const port = Number(/"port":(\d+)/.exec(readFileSync(file, 'utf8'))?.[1] ?? 0);
  return port > 0 && port < 65536 ? [port, 0] : [0];
}
