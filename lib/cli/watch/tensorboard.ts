/** A run's metric records as TensorBoard shows them: which tags there are, and one event file for each process. */
import { existsSync, readdirSync } from 'node:fs';
import { EventFileWriter, histogram, type SummaryValue, scalar, text } from '../../interop/tensorboard.js';
import type { MetricRecord } from '../../report/metrics.js';

export class TensorBoardRun {
  /** Steps at each depth since the last evaluation. */
  #depths: number[] = [];

  private constructor(private readonly writer: EventFileWriter) {}

  /**
   * Starts a file in `folder`. `resumedAt`: steps up to it stay; records of later steps in earlier files are void. A run that
   * starts from step 0 voids everything that is there.
   */
  static async open(folder: string, resumedAt: number | undefined): Promise<TensorBoardRun> {
    const earlier = existsSync(folder) && readdirSync(folder).some((name) => name.includes('.tfevents.'));
    const purgeFrom = earlier ? (resumedAt === undefined ? 0 : resumedAt + 1) : undefined;
    return new TensorBoardRun(await EventFileWriter.open(folder, { purgeFrom }));
  }

  /** Tables of what the run is, as texts at its first step: `{ settings: { learningRate: 1e-3, … } }`. */
  async describe(tables: Readonly<Record<string, Readonly<Record<string, unknown>>>>): Promise<void> {
    const texts = Object.entries(tables).map(([tag, table]) => text(tag, settingsTable(table)));
    await this.writer.add(0, texts);
  }

  /** A record of before the resume: written already, but its depths count for the next histogram. */
  recall(record: MetricRecord): void {
    if (record.type === 'step') this.#countDepth(record.depth);
    if (record.type === 'evaluation') this.#depths = [];
  }

  async add(record: MetricRecord): Promise<void> {
    const values = valuesOf(record).map(([tag, value]) => scalar(tag, value ?? Number.NaN));
    if (record.type === 'step') this.#countDepth(record.depth);
    await this.writer.add(record.step, [...values, ...this.#takeHistogram(record)]);
  }

  async close(): Promise<void> {
    await this.writer.close();
  }

  #countDepth(depth: number): void {
    while (this.#depths.length <= depth) this.#depths.push(0);
    this.#depths[depth]! += 1;
  }

  #takeHistogram({ type }: MetricRecord): SummaryValue[] {
    if (type !== 'evaluation' || this.#depths.length === 0) return [];
    const counts = this.#depths;
    this.#depths = [];
    return [histogram('depth', counts)];
  }
}

/** The scalars of a record by tag. */
function valuesOf(record: MetricRecord): [string, number | null][] {
  switch (record.type) {
    case 'step':
      return [
        ['loss/train', record.loss],
        ['optimizer/learning_rate', record.learningRate],
        ['optimizer/gradient_norm', record.gradNorm],
        ['model/depth', record.depth],
        ['model/trained_layers', record.trainedLayers],
        ['cost/flops', record.flopsModel],
        ['cost/training_seconds', record.trainMs / 1e3],
        ['cost/tokens', record.tokens],
        ['speed/tokens_per_second', record.tokensPerSecond],
        ['memory/process_bytes', record.rssBytes],
        ['memory/device_bytes', record.arenaBytes + record.bufferBytes],
      ];
    case 'evaluation':
      return [
        ['loss/held_out', record.lossFull],
        ['loss/held_out_stage', record.lossStage],
      ];
    default:
      return [];
  }
}

/** A Markdown table; values that are objects as JSON. */
export function settingsTable(settings: Readonly<Record<string, unknown>>): string {
  const cell = (value: unknown) =>
    (typeof value === 'object' ? JSON.stringify(value) : String(value)).replaceAll('|', '\\|').replaceAll('\n', ' ');
  const rows = Object.entries(settings)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `| ${cell(key)} | ${cell(value)} |`);
  return ['| setting | value |', '| --- | --- |', ...rows].join('\n');
}
