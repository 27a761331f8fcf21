/** Made-up metric records for the tests of what reads them. */
import type {
  DoneMetrics,
  EvaluationMetrics,
  GrowthMetrics,
  StartMetrics,
  StepMetrics,
} from '../../lib/report/metrics.js';

interface Which {
  readonly method?: string;
  readonly seed?: number;
}

const line = (step: number, { method = 'apollo', seed = 1 }: Which = {}) => {
  return { method, seed, step, time: '2026-01-01T00:00:00.000Z' };
};

export function startRecord(step: number, which?: Which & { resumed?: boolean }): StartMetrics {
  const { resumed = false } = which ?? {};
  return { type: 'start', ...line(step, which), steps: 1000, trainedLayers: 1, layers: 4, parameters: 10, resumed };
}

/** A step of 100 tokens, 1000 FLOPs and 2 ms; its loss is 10 / step unless given. */
export function stepRecord(step: number, which?: Which & Partial<StepMetrics>): StepMetrics {
  const { method, seed, ...changes } = which ?? {};
  return {
    type: 'step',
    ...line(step, which),
    loss: 10 / step,
    gradNorm: 1,
    learningRate: 0.001,
    depth: 2,
    trainedLayers: 1,
    applied: true,
    tokens: 100 * step,
    flopsModel: 1000 * step,
    flopsExecuted: 900 * step,
    trainMs: 2 * step,
    ms: 2,
    tokensPerSecond: 50_000,
    rssBytes: 2 ** 27,
    arenaBytes: 2 ** 20,
    bufferBytes: 2 ** 21,
    ...changes,
  };
}

export function evaluationRecord(step: number, lossFull: number | null, which?: Which): EvaluationMetrics {
  const costs = { tokens: 100 * step, flopsModel: 1000 * step, trainMs: 2 * step, ms: 1 };
  return { type: 'evaluation', ...line(step, which), trainedLayers: 1, lossFull, lossStage: lossFull, ...costs };
}

export function growthRecord(step: number, from: number, to: number, which?: Which): GrowthMetrics {
  return { type: 'growth', ...line(step, which), from, to, parameters: 20 };
}

export function doneRecord(step: number, which?: Which & { complete?: boolean }): DoneMetrics {
  const { complete = true } = which ?? {};
  const costs = { tokens: 100 * step, flopsModel: 1000 * step, flopsExecuted: 900 * step, trainMs: 2 * step };
  return { type: 'done', ...line(step, which), complete, ...costs };
}
