/** The table of a comparison, as aligned text for a terminal and as Markdown. */

import * as is from '../is.js';
import { type Analysis, type MethodAnalysis, type Spread, spread } from './aggregate.js';
import { formatCount, formatPercent } from './format.js';
import { type CostName, costNames } from './results.js';

export const costTitles: Readonly<Record<CostName, string>> = {
  flopsModel: 'FLOPs',
  flopsLayers: 'layer FLOPs',
  flopsExecuted: 'executed FLOPs',
  trainMs: 'time',
};

const takesTableRows = is.takes('tableRows', { analysis: is.analysis });

/**
 * Header and rows of the comparison; the first column is left-aligned, the others right.
 * @example
 * console.log(textTable(tableRows(analysis)));
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function tableRows(analysis: Analysis): string[][] {
  takesTableRows(analysis);

  const header = ['method', 'final loss', ...costNames.map((cost) => `saved ${costTitles[cost]}`), 'tokens/s', 'seeds'];
  const rows = analysis.methods.flatMap((method) => {
    const row = [
      method.isReference ? `${method.method} (reference)` : method.method,
      formatSpread(method.finalLoss, (value) => value.toFixed(4)),
      ...costNames.map((cost) => formatSaving(method, cost)),
      formatCount(method.tokensPerSecond.mean),
      String(method.finalLoss.count),
    ];
    const { savingWithSource } = method;
    if (!savingWithSource) return [row];
    const costs = costNames.map((cost) => formatShare(savingWithSource[cost]));
    return [row, [`${method.method}, small model charged`, '', ...costs, '', '']];
  });
  return [header, ...rows];
}

/**
 * A saving as it may be claimed: a figure only where every seed reached the target. That of the reference is how far
 * before its end each seed meets its own final loss, a mean over its last evaluations.
 */
export function formatSaving(method: MethodAnalysis, cost: CostName): string {
  if (method.isReference) {
    // Before the first step nothing has been spent that a share could be of.
    const own = method.seeds.flatMap(({ savingOfSeed }) => (savingOfSeed ? [savingOfSeed[cost]] : []));
    return own.length === method.seeds.length ? formatShare(spread(own)) : '-';
  }
  if (method.saving) return formatShare(method.saving[cost]);
  if (cost !== 'flopsModel') return '-';
  const missed = method.seeds.length - method.reached;
  const of = method.seeds.length > 1 ? ` (${missed} of ${method.seeds.length} seeds)` : '';
  const gap = method.gap?.mean ?? Number.NaN;
  return `not reached${of}${Number.isFinite(gap) ? `, gap ${gap.toFixed(4)}` : ''}`;
}

/** A spread of shares as percent, where there is something that they are shares of. */
function formatShare(shares: Spread): string {
  return Number.isFinite(shares.mean) ? formatSpread(shares, formatPercent) : '-';
}

/** "12.3 ± 0.4" with the standard deviation where there are several values. */
export function formatSpread(values: Spread, format: (value: number) => string): string {
  const unit = format(values.mean).endsWith(' %') ? ' %' : '';
  if (values.sd === undefined) return format(values.mean);
  return `${format(values.mean).slice(0, unit ? -unit.length : undefined)} ± ${format(values.sd)}`;
}

const takesTextTable = is.takes('textTable', { rows: is.rows });

/**
 * Rows as a table of plain text with columns in line; the first one is the head.
 * @example
 * console.log(textTable(tableRows(analysis)));
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function textTable(rows: readonly (readonly string[])[]): string {
  takesTextTable(rows);

  const widths = columnWidths(rows);
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd();
  const [header, ...body] = rows.map(line);
  return [header, widths.map((width) => '-'.repeat(width)).join('  '), ...body].join('\n');
}

const takesMarkdownTable = is.takes('markdownTable', { rows: is.rows });

/**
 * Rows as a table in Markdown; the first one is the head.
 * @example
 * console.log(markdownTable(tableRows(analysis)));
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function markdownTable(rows: readonly (readonly string[])[]): string {
  takesMarkdownTable(rows);

  const line = (row: readonly string[]) => `| ${row.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const [header, ...body] = rows.map(line);
  const rule = (rows[0] ?? []).map((_, column) => (column === 0 ? '---' : '---:'));
  return [header, `| ${rule.join(' | ')} |`, ...body].join('\n');
}

const takesVerdicts = is.takes('verdicts', { analysis: is.analysis });

/**
 * One sentence per method: what it saved, or that it did not reach the target; and whether a cost is not known. Before
 * them, one sentence where runs are not complete.
 * @example
 * for (const sentence of verdicts(analysis)) console.log(sentence);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function verdicts(analysis: Analysis): string[] {
  takesVerdicts(analysis);

  const incomplete = analysis.complete ? [] : ['Not all runs are complete: figures may still change.'];
  const sentences = analysis.methods.flatMap((method) => {
    const uncounted = method.sourceUnknown
      ? [`${method.method} started from a trained model of unknown cost; its cost is not counted.`]
      : [];
    return [...verdict(method, analysis), ...uncounted];
  });
  return [...incomplete, ...sentences];
}

function verdict(method: MethodAnalysis, analysis: Analysis): string[] {
  if (method.isReference) return [];
  if (!Number.isFinite(analysis.target)) {
    return [`${method.method}: nothing to compare with, because ${analysis.reference}'s final loss is not finite.`];
  }
  if (!(analysis.referenceCosts.flopsModel > 0)) {
    return [
      `${method.method}: nothing to compare yet, because ${analysis.reference} has been evaluated before its first step only.`,
    ];
  }
  const target = `${analysis.reference}'s final loss of ${analysis.target.toFixed(4)}`;
  if (!method.saving) return [`${method.method}: ${formatSaving(method, 'flopsModel')} to ${target}.`];
  const flops = describe(method.saving.flopsModel.mean, 'fewer FLOPs', 'more FLOPs');
  const time = describe(method.saving.trainMs.mean, 'less time', 'more time');
  return [`${method.method} reached ${target} with ${flops} and ${time}.`];
}

function describe(saving: number, less: string, more: string): string {
  return `${formatPercent(Math.abs(saving))} ${saving >= 0 ? less : more}`;
}

function columnWidths(rows: readonly (readonly string[])[]): number[] {
  return (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
}
