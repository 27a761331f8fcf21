/** Reports on comparisons: crossing of the target loss, savings, tables, charts, pages. */
export {
  type Crossing,
  crossing,
  finalEvaluations,
  finalLoss,
  medianWindow,
  runningMedian,
  runningMinimum,
  savings,
  totalCosts,
} from './acceleration.js';
export { type Analysis, analyse, type MethodAnalysis, type SeedAnalysis, type Spread, spread } from './aggregate.js';
export { type ChartOption, depthChart, lossChart } from './charts.js';
export {
  type FineTuneResults,
  fineTuneChart,
  fineTuneRows,
  type SeedScores,
  writeFineTuneResults,
} from './finetune.js';
export { htmlReport } from './html.js';
export { type MetricRecord, readMetrics } from './metrics.js';
export {
  type CostName,
  type Costs,
  type EvaluationPoint,
  type Results,
  type RunRecord,
  readResults,
  resultsSchema,
  writeResults,
} from './results.js';
export { renderSvg } from './svg.js';
export { markdownTable, tableRows, textTable, verdicts } from './table.js';
