/** Small made-up runs for the report's tests. */
import type { EvaluationPoint, Results, RunRecord } from '../../lib/report/results.js';

/** Evaluations from [FLOPs, loss] pairs; the other costs are fixed multiples: layers 1/2, executed 2, ms 10. */
export function curve(points: readonly (readonly [number, number])[]): EvaluationPoint[] {
  return points.map(([flops, loss]) => ({
    step: 10 * flops,
    tokens: 100 * flops,
    flopsModel: flops,
    flopsLayers: flops / 2,
    flopsExecuted: flops * 2,
    trainMs: flops * 10,
    lossFull: loss,
    lossStage: loss,
  }));
}

export function record(method: string, seed: number, points: readonly (readonly [number, number])[]): RunRecord {
  const stages =
    method === 'scratch'
      ? [{ step: 0, trainedLayers: 3, depthSteps: [0, 0, 0, 40] }]
      : [
          { step: 0, trainedLayers: 1, depthSteps: [0, 12, 5, 3] },
          { step: 20, trainedLayers: 3, depthSteps: [0, 0, 0, 20] },
        ];
  return { method, seed, finished: true, stages, evaluations: curve(points) };
}

export function comparison(runs: RunRecord[]): Results {
  return {
    format: 'apollo-lm/results/1',
    created: '2026-01-01T00:00:00.000Z',
    settings: { model: 'gpt-nano', data: '<sample> & "text"', steps: 40 },
    layers: 3,
    totalSteps: 40,
    reference: 'scratch',
    runs,
  };
}
