/** From a run's events to its metric records, and the file that keeps them through any number of resumes. */
import { type FileHandle, mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type MetricRecord, readMetrics } from '../report/metrics.js';
import type { TrainEvent } from '../train/index.js';

export const metricsFile = 'metrics.jsonl';

export interface MetricContext {
  readonly method: string;
  readonly seed: number;
  /** As ISO 8601. */
  readonly time: string;
  readonly memory: { readonly rssBytes: number; readonly arenaBytes: number; readonly bufferBytes: number };
}

const finite = (value: number) => (Number.isFinite(value) ? value : null);

/** The record of an event; undefined for checkpoints, which are not metrics. */
export function metricRecord(event: TrainEvent, context: MetricContext): MetricRecord | undefined {
  const { method, seed, time, memory } = context;
  const line = { method, seed, step: event.step, time };
  switch (event.type) {
    case 'start': {
      const { type, steps, units, layers, parameters } = event;
      return { type, ...line, steps, units, layers, parameters, resumed: event.resumedFrom !== undefined };
    }
    case 'step': {
      const { type, step, loss, gradNorm, ...rest } = event;
      return { type, ...line, loss: finite(loss), gradNorm: finite(gradNorm), ...rest, ...memory };
    }
    case 'evaluation': {
      const { type, units, lossFull, lossStage, tokens, flops, trainMs, ms } = event;
      const losses = { lossFull: finite(lossFull), lossStage: finite(lossStage) };
      return { type, ...line, units, ...losses, tokens, flopsModel: flops, trainMs, ms };
    }
    case 'growth': {
      const { type, from, to, parameters } = event;
      return { type, ...line, from, to, parameters };
    }
    case 'warning':
      return { type: event.type, ...line, code: event.code, message: event.message };
    case 'done': {
      const { type, complete, tokens, flopsModel, flopsExecuted, trainMs } = event;
      return { type, ...line, complete, tokens, flopsModel, flopsExecuted, trainMs };
    }
    case 'checkpoint':
      return undefined;
  }
}

/** One run's `metrics.jsonl`, open for appending. */
export class MetricsFile {
  private constructor(
    private readonly file: FileHandle,
    private readonly resumedAt: number | undefined,
    /** What the file has of that step: it may be reported once more. */
    private readonly repeated: ReadonlySet<string>,
  ) {}

  /**
   * Opens the file for a run that begins, or goes on from `resumedAt`: then records of later steps, which will be done
   * again, are dropped, and `kept` is told of each that stays.
   */
  static async open(
    path: string,
    resumedAt: number | undefined,
    kept: (record: MetricRecord) => void,
  ): Promise<MetricsFile> {
    await mkdir(dirname(path), { recursive: true });
    const part = `${path}.part`;
    const file = await open(part, 'w');
    const repeated = new Set<string>();
    try {
      if (resumedAt !== undefined) {
        for await (const record of readMetrics(path)) {
          if (record.step > resumedAt || record.type === 'done') continue;
          if (record.step === resumedAt && once.has(record.type)) repeated.add(record.type);
          await file.write(lineOf(record));
          kept(record);
        }
      }
      await file.sync();
      await rename(part, path);
    } catch (error) {
      await file.close();
      throw error;
    }
    return new MetricsFile(file, resumedAt, repeated);
  }

  /** Whether an evaluation or growth stands in the file already: it was done before the run was cut, and again since. */
  holds(record: MetricRecord): boolean {
    return record.step === this.resumedAt && this.repeated.has(record.type);
  }

  async add(record: MetricRecord): Promise<void> {
    await this.file.write(lineOf(record));
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

/** Records of which a step has one; of the others (a start a process, warnings) there may be several. */
const once: ReadonlySet<string> = new Set(['evaluation', 'growth']);

const lineOf = (record: MetricRecord) => `${JSON.stringify(record)}\n`;
