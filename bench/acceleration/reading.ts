/** Reading a comparison: losses at equal FLOPs, and savings next to those of the paper. */
import { smoothedLosses } from '../../lib/report/acceleration.js';
import { type Analysis, type MethodAnalysis, type Spread, spread } from '../../lib/report/aggregate.js';
import { formatPercent } from '../../lib/report/format.js';
import type { Results, RunRecord } from '../../lib/report/results.js';
import { formatSpread, markdownTable } from '../../lib/report/table.js';

/** The smoothed held-out loss of a run when it had spent `flops`, linear in between; undefined beyond its end. */
export function lossAt({ evaluations }: Pick<RunRecord, 'evaluations'>, flops: number): number | undefined {
  const losses = smoothedLosses(evaluations);
  const after = evaluations.findIndex((point) => point.flopsModel >= flops);
  if (after < 0) return undefined;
  if (after === 0) return losses[0];
  const [a, b] = [evaluations[after - 1]!.flopsModel, evaluations[after]!.flopsModel];
  const share = (flops - a) / (b - a);
  return losses[after - 1]! + share * (losses[after]! - losses[after - 1]!);
}

const shares = [0.1, 0.25, 0.5, 0.75, 0.9];

/** One row per method: its loss when it had spent 10, 25, … % of the reference's FLOPs, mean and deviation over seeds. */
export function equalFlopsTable(results: Results, analysis: Analysis): string {
  const total = analysis.referenceCosts.flopsModel;
  const rows = analysis.methods.map(({ method }) => {
    const runs = results.runs.filter((run) => run.method === method && run.finished);
    const cells = shares.map((share) => {
      const losses = runs.map((run) => lossAt(run, share * total)).filter((loss) => loss !== undefined);
      return losses.length > 0 && losses.length === runs.length
        ? formatSpread(spread(losses), (loss) => loss.toFixed(3))
        : '-';
    });
    return [method, ...cells];
  });
  return markdownTable([
    ['loss at this share of the FLOPs', ...shares.map((share) => formatPercent(share, 0))],
    ...rows,
  ]);
}

/** Savings that the paper reports for a method: FLOPs and time in percent. */
export interface PaperSaving {
  readonly flops?: number;
  readonly time?: number;
}

const percent = (value: number | undefined) => (value === undefined ? '-' : `${value.toFixed(1)} %`);

/** Savings at the reference's final loss next to the paper's, one row per method. */
export function savingsTable(analysis: Analysis, paper: Readonly<Record<string, PaperSaving>>): string {
  const header = [
    'method',
    'paper: FLOPs',
    'saved FLOPs',
    'layers alone',
    'saved time',
    'FLOPs - time',
    'final loss',
    'seeds',
  ];
  const rows = analysis.methods
    .filter((method) => !method.isReference)
    .flatMap((method) => {
      const { saving, savingWithSource } = method;
      const loss = formatSpread(method.finalLoss, (value) => value.toFixed(4));
      const seeds = `${method.reached} of ${method.seeds.length}`;
      const row = [
        method.method,
        percent(paper[method.method]?.flops),
        ...(saving ? savingCells(saving) : [notReached(method), '-', '-', '-']),
        loss,
        seeds,
      ];
      if (!savingWithSource) return [row];
      return [row, [`${method.method}, small model charged`, '-', ...savingCells(savingWithSource), loss, seeds]];
    });
  return markdownTable([header, ...rows]);
}

function savingCells(saving: NonNullable<MethodAnalysis['saving']>): string[] {
  const points = 100 * (saving.flopsModel.mean - saving.trainMs.mean);
  const of = (values: Spread) => formatSpread(values, formatPercent);
  return [of(saving.flopsModel), of(saving.flopsLayers), of(saving.trainMs), `${points.toFixed(1)} points`];
}

function notReached({ gap }: MethodAnalysis): string {
  return `not reached, gap ${gap?.mean.toFixed(3)}`;
}

/** Conclusion from the figures in one or two sentences. */
export function honestReading(results: Results, analysis: Analysis): string {
  const others = analysis.methods.filter((method) => !method.isReference);
  const reached = others.filter((method) => method.saving);
  const best = [...reached].sort((a, b) => b.saving!.flopsModel.mean - a.saving!.flopsModel.mean)[0];
  const deviation = analysis.methods.find((method) => method.isReference)?.finalLoss.sd;
  const first = best
    ? `${reached.length} of ${others.length} methods reach the final loss of ${analysis.reference} in every seed; most is saved by ${best.method}, ${formatPercent(best.saving!.flopsModel.mean)} of the FLOPs.`
    : `No method reaches the final loss of ${analysis.reference} in every seed.`;
  const half = 0.5 * analysis.referenceCosts.flopsModel;
  const at = (method: string) => {
    const losses = results.runs
      .filter((run) => run.method === method && run.finished)
      .map((run) => lossAt(run, half))
      .filter((loss) => loss !== undefined);
    return losses.length > 0 ? spread(losses).mean : Number.POSITIVE_INFINITY;
  };
  const own = at(analysis.reference);
  const ahead = others.filter(({ method }) => at(method) < own).map(({ method }) => method);
  const second = `At half of its FLOPs ${ahead.length > 0 ? `${ahead.join(', ')} ${ahead.length > 1 ? 'are' : 'is'} ahead of it` : 'nothing is ahead of it'}.`;
  const third =
    deviation === undefined
      ? 'With one seed no spread is known.'
      : `The final loss of ${analysis.reference} varies by ${deviation.toFixed(4)} between seeds: smaller differences say nothing.`;
  return `${first} ${second} ${third}`;
}
