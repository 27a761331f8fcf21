/**
 * `apollo-lm/report`: reports on comparisons. Savings, tables, charts, pages, and the files that they are made from.
 * @module report
 */
export { type Crossing, crossing, finalLoss, savings } from './acceleration.js';
export { type Analysis, analyse, type MethodAnalysis, type SeedAnalysis, type Spread, spread } from './aggregate.js';
export { type ChartOption, depthChart, lossChart } from './charts.js';
export { htmlReport } from './html.js';
export { type MetricRecord, readMetrics } from './metrics.js';
export {
  type CostName,
  type Costs,
  type EvaluationPoint,
  type Results,
  type RunRecord,
  type RunStage,
  readResults,
  writeResults,
} from './results.js';
export { renderSvg } from './svg.js';
export { markdownTable, tableRows, textTable, verdicts } from './table.js';
