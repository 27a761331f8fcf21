/** From a run's events to its metric records, and the file that keeps them through any number of resumes. */
import { type FileHandle, stat } from 'node:fs/promises';
import { appendNow } from '../../fs/append.js';
import { openWholeFile, setFileAside } from '../../fs/whole-file.js';
import { type MetricRecord, readMetrics } from '../../report/metrics.js';
import type { TrainEvent } from '../../train/index.js';

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
      const { type, steps, trainedLayers, layers, parameters } = event;
      return { type, ...line, steps, trainedLayers, layers, parameters, resumed: event.resumedFrom !== undefined };
    }
    case 'step': {
      const { type, step, loss, gradNorm, ...rest } = event;
      return { type, ...line, loss: finite(loss), gradNorm: finite(gradNorm), ...rest, ...memory };
    }
    case 'evaluation': {
      const { type, trainedLayers, lossFull, lossStage, tokens, flopsModel, trainMs, ms } = event;
      const losses = { lossFull: finite(lossFull), lossStage: finite(lossStage) };
      return { type, ...line, trainedLayers, ...losses, tokens, flopsModel, trainMs, ms };
    }
    case 'growth': {
      const { type, from, to, parameters, exchanged } = event;
      return { type, ...line, from, to, parameters, ...(exchanged && { exchanged }) };
    }
    case 'warning':
      return { type: event.type, ...line, code: event.code, message: event.message };
    case 'done': {
      const { type, complete, tokens, flopsModel, flopsExecuted, trainMs, exchanged } = event;
      return {
        type,
        ...line,
        complete,
        tokens,
        flopsModel,
        flopsExecuted,
        trainMs,
        ...(exchanged && { exchanged }),
      };
    }
    case 'checkpoint':
      return undefined;
  }
}

const what = 'The metrics';

/** Characters of records that are copied at a time: of a long run, one by one would take seconds. */
const pieceLength = 1 << 20;

/** Bytes of a file; 0 where there is none, or a folder. */
const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    (found) => (found.isFile() ? found.size : 0),
    () => 0,
  );

/** One run's `metrics.jsonl`, open for appending. */
export class MetricsFile {
  private constructor(
    private readonly file: FileHandle,
    private readonly resumedAt: number | undefined,
    /** The records of that step in the file: they may be reported again. */
    private readonly repeated: ReadonlySet<string>,
    /** Where the metrics of an earlier run are now. */
    readonly earlier: string | undefined,
  ) {}

  /**
   * Opens the file for a run that starts, or resumes from `resumedAt`: then records of later steps, which will be done
   * again, are dropped, and `kept` receives each one that stays. What an earlier run that cannot be resumed has left in its place
   * is kept under another name, `earlier`.
   * @throws ApolloError FILE_SYSTEM; BAD_ARGUMENT when the file of a resumed run is damaged.
   */
  static async open(
    path: string,
    resumedAt: number | undefined,
    kept: (record: MetricRecord) => void,
  ): Promise<MetricsFile> {
    const earlier = resumedAt === undefined && (await sizeOf(path)) > 0 ? await setFileAside(path, what) : undefined;
    const repeated = new Set<string>();
    const file = await openWholeFile(path, what, async (handle) => {
      if (resumedAt === undefined) return;
      let lines = '';
      for await (const record of readMetrics(path)) {
        if (record.step > resumedAt || record.type === 'done') continue;
        if (record.step === resumedAt && once.has(record.type)) repeated.add(record.type);
        lines += lineOf(record);
        kept(record);
        if (lines.length < pieceLength) continue;
        await handle.appendFile(lines);
        lines = '';
      }
      await handle.appendFile(lines);
    });
    return new MetricsFile(file, resumedAt, repeated, earlier);
  }

  /** Whether an evaluation or growth is in the file already: it was done before the run was cut, and again since. */
  holds(record: MetricRecord): boolean {
    return record.step === this.resumedAt && this.repeated.has(record.type);
  }

  async add(record: MetricRecord): Promise<void> {
    appendNow(this.file, lineOf(record));
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

/** Records of which a step has one; of the others (a start a process, warnings) there may be several. */
const once: ReadonlySet<string> = new Set(['evaluation', 'growth']);

const lineOf = (record: MetricRecord) => `${JSON.stringify(record)}\n`;
