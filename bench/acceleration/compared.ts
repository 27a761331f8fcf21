/** Figures that are comparisons of methods on the same batches: `apollo-lm compare` at a scale's recipe. */
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { modelConfigOf, tokensPerStepOf, totalStepsOf } from '../../lib/cli/settings/resolve.js';
import type { Settings, SettingsInput } from '../../lib/cli/settings/schema.js';
import { type Analysis, analyse } from '../../lib/report/aggregate.js';
import { lossChart } from '../../lib/report/charts.js';
import type { Results } from '../../lib/report/results.js';
import { renderSvg } from '../../lib/report/svg.js';
import { type RanComparison, runComparison } from './comparison.js';
import type { Figure, FigureContext, ScaleName } from './figure.js';
import { equalFlopsTable, honestReading, type PaperSaving, savingsTable } from './reading.js';
import { distance, type PaperModel, recipe } from './scales.js';

export interface ComparedFigure {
  readonly name: string;
  readonly title: string;
  /** Description of the figure, one or two sentences for its page. */
  readonly about: string;
  readonly model: PaperModel;
  /** Methods, variants and their settings, over the scale's recipe. */
  readonly settings: Pick<SettingsInput, 'methods' | 'methodOptions' | 'variants' | 'small'>;
  /** Differences of a scale from its recipe. */
  readonly scales?: Partial<Readonly<Record<ScaleName, SettingsInput>>>;
  /** The paper's savings by the name of the method or variant. */
  readonly paper: Readonly<Record<string, PaperSaving>>;
}

export function comparedFigure(figure: ComparedFigure): Figure {
  return { name: figure.name, title: figure.title, make: (context) => make(figure, context) };
}

async function make(figure: ComparedFigure, context: FigureContext): Promise<boolean> {
  const settings = {
    ...recipe(context.scale, figure.model),
    ...figure.settings,
    ...figure.scales?.[context.scale],
    ...context.run,
    data: [...context.data],
  };
  const ran = await runComparison(figure.name, settings, context);
  await describe(figure, context, ran);
  return ran.complete;
}

/** Links to what drawLosses draws. */
export const lossPictures = '![loss against FLOPs](loss-flops.svg)\n![loss against time](loss-time.svg)';

/** Writes loss-flops.svg and loss-time.svg into `out`. */
export async function drawLosses(out: string, results: Results, analysis: Analysis): Promise<void> {
  for (const cost of ['flopsModel', 'trainMs'] as const) {
    const name = cost === 'trainMs' ? 'loss-time.svg' : 'loss-flops.svg';
    writeFileSync(join(out, name), await renderSvg(lossChart(results, analysis, cost)));
  }
}

/** Model, length, data and machine of a comparison, and how far that is from the paper's. */
export function whatWasRun({ settings: about }: Results, settings: Settings, model: PaperModel): string {
  const config = modelConfigOf(settings);
  const steps = totalStepsOf(settings, config);
  const tokens = steps * tokensPerStepOf(settings, config);
  const { structure, batch, precision, data, processor, device } = about;
  return (
    `${String(structure)}; ${steps} steps of ${String(batch)}, ${String(precision)}; ${String(data)}; on ${String(device ?? processor)}.\n` +
    `That is ${distance(config, tokens, model)}.`
  );
}

/** result.json, the pictures and figure.md of what there is so far. */
async function describe(
  figure: ComparedFigure,
  { out, scale }: FigureContext,
  { results, settings, resultsPath }: RanComparison,
): Promise<void> {
  if (!results?.runs.some((run) => run.method === results.reference && run.evaluations.length > 0)) return;
  const analysis = analyse(results);
  copyFileSync(resultsPath, join(out, 'result.json'));
  await drawLosses(out, results, analysis);
  const finished = results.runs.filter((run) => run.finished).length;
  const lines = [
    `## ${figure.title}, ${scale} scale`,
    '',
    figure.about,
    '',
    whatWasRun(results, settings, figure.model),
    '',
    ...(analysis.complete
      ? [
          savingsTable(analysis, figure.paper),
          '',
          equalFlopsTable(results, analysis),
          '',
          honestReading(results, analysis),
        ]
      : [`**Not complete yet**: ${finished} of ${results.runs.length} runs have ended, so nothing is claimed.`]),
    '',
    lossPictures,
    '',
  ];
  writeFileSync(join(out, 'figure.md'), lines.join('\n'));
}
