/**
 * The lines of `metrics.jsonl`: what a run reported, one JSON object a line, ordered by step. `step` counts the updates
 * done; tokens, FLOPs and training time are totals since the start of the run, through all resumes. Numbers that are not finite
 * are null. docs/watching.md lists the fields.
 */
import { createReadStream, existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { ApolloError } from '../errors.js';
import * as is from '../is.js';
import { withCurrentNames } from '../renamed.js';

interface Line<Type extends string> {
  readonly type: Type;
  /** The method's name or that of a variant, and the seed: which run of a comparison. */
  readonly method: string;
  readonly seed: number;
  readonly step: number;
  /** When it was written, as ISO 8601 in UTC. */
  readonly time: string;
}

/** A process started the run, or resumed it at `step`. */
export interface StartMetrics extends Line<'start'> {
  readonly steps: number;
  readonly trainedLayers: number;
  /** Layers of the finished model. */
  readonly layers: number;
  readonly parameters: number;
  readonly resumed: boolean;
}

export interface StepMetrics extends Line<'step'> {
  /** Mean training loss of the step, at its depth and with dropout. */
  readonly loss: number | null;
  readonly gradNorm: number | null;
  readonly learningRate: number;
  readonly depth: number;
  readonly trainedLayers: number;
  /** False when the update was left out. */
  readonly applied: boolean;
  readonly tokens: number;
  readonly flopsModel: number;
  readonly flopsExecuted: number;
  readonly trainMs: number;
  /** Time of this step alone. */
  readonly ms: number;
  readonly tokensPerSecond: number;
  /** With several ranks: bytes they have sent so far, those of this step per token, and the time that took. */
  readonly bytesSent?: number;
  readonly bytesPerToken?: number;
  readonly exchangeMs?: number;
  readonly exchangeWaitedMs?: number;
  /** Memory of the process; on the device: activations, and weights with gradients and moments. */
  readonly rssBytes: number;
  readonly arenaBytes: number;
  readonly bufferBytes: number;
}

export interface EvaluationMetrics extends Line<'evaluation'> {
  readonly trainedLayers: number;
  /** Held-out loss at full depth, and with the trained layers alone. */
  readonly lossFull: number | null;
  readonly lossStage: number | null;
  readonly tokens: number;
  readonly flopsModel: number;
  readonly trainMs: number;
  /** Time of the evaluation. */
  readonly ms: number;
}

/** Bytes that several ranks have sent in a stage: in total, per step and per token. */
export interface TrafficMetrics {
  readonly steps: number;
  readonly bytes: number;
  readonly bytesPerStep: number;
  readonly bytesPerToken: number;
}

export interface GrowthMetrics extends Line<'growth'> {
  readonly from: number;
  readonly to: number;
  readonly parameters: number;
  readonly exchanged?: TrafficMetrics;
}

export interface WarningMetrics extends Line<'warning'> {
  readonly code: string;
  readonly message: string;
}

/** The process left the run: at its end (`complete`), or because it was stopped. */
export interface DoneMetrics extends Line<'done'> {
  readonly complete: boolean;
  readonly tokens: number;
  readonly flopsModel: number;
  readonly flopsExecuted: number;
  readonly trainMs: number;
  /** In the last stage. */
  readonly exchanged?: TrafficMetrics;
}

/** A line of metrics.jsonl (docs/watching.md). */
export type MetricRecord =
  | StartMetrics
  | StepMetrics
  | EvaluationMetrics
  | GrowthMetrics
  | WarningMetrics
  | DoneMetrics;

const takesReadMetrics = is.takes('readMetrics', { path: is.path });

/**
 * The records of a `metrics.jsonl` in their order; none when there is no such file. A last line without its end, as a
 * process that was killed leaves it, is left out.
 * @example
 * for await (const record of readMetrics('runs/gpt/metrics.jsonl')) console.log(record);
 * @throws ApolloError BAD_ARGUMENT naming file and line when one is not a record.
 */
export function readMetrics(path: string): AsyncGenerator<MetricRecord, void, void> {
  takesReadMetrics(path);
  return metricsOf(path);
}

async function* metricsOf(path: string): AsyncGenerator<MetricRecord, void, void> {
  if (!existsSync(path)) return;
  const lines = createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY });
  let number = 0;
  let bad: { readonly number: number; readonly reason: string } | undefined;
  for await (const line of lines) {
    number++;
    if (bad) throw new ApolloError('BAD_ARGUMENT', `${path}:${bad.number} is not a line of metrics: ${bad.reason}`);
    const record = parse(line);
    if (typeof record === 'string') bad = { number, reason: record };
    else yield record;
  }
}

/** A record, or what is wrong with the line. */
function parse(line: string): MetricRecord | string {
  try {
    const record = withCurrentNames(JSON.parse(line)) as MetricRecord | null;
    const whole = typeof record?.type === 'string' && typeof record.step === 'number';
    return whole ? record : 'expected an object with type and step';
  } catch (error) {
    return (error as Error).message;
  }
}
