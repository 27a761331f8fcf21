/** Figures that are comparisons of methods on the same batches: `apollo-lm compare` at a scale's recipe. */
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SettingsInput } from '../../lib/cli/config.js';
import { modelConfigOf, tokensPerStepOf, totalStepsOf } from '../../lib/cli/resolve.js';
import { analyse } from '../../lib/report/aggregate.js';
import { lossChart } from '../../lib/report/charts.js';
import { renderSvg } from '../../lib/report/svg.js';
import { type RanComparison, runComparison } from './comparison.js';
import type { Figure, FigureContext, ScaleName } from './figure.js';
import { equalFlopsTable, honestReading, type PaperSaving, savingsTable } from './reading.js';
import { distance, type PaperModel, recipe } from './scales.js';

export interface ComparedFigure {
  readonly name: string;
  readonly title: string;
  /** What the figure is about, a sentence or two for its page. */
  readonly about: string;
  readonly model: PaperModel;
  /** Methods, variants and their settings, over the scale's recipe. */
  readonly settings: Pick<SettingsInput, 'methods' | 'methodOptions' | 'variants' | 'small'>;
  /** What a scale has otherwise than its recipe. */
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

/** result.json, the pictures and figure.md of what there is so far. */
async function describe(
  figure: ComparedFigure,
  { out, scale }: FigureContext,
  { results, settings, resultsPath }: RanComparison,
): Promise<void> {
  if (!results?.runs.some((run) => run.method === results.reference && run.evaluations.length > 0)) return;
  const analysis = analyse(results);
  copyFileSync(resultsPath, join(out, 'result.json'));
  for (const cost of ['flopsModel', 'trainMs'] as const) {
    const name = cost === 'trainMs' ? 'loss-time.svg' : 'loss-flops.svg';
    writeFileSync(join(out, name), await renderSvg(lossChart(results, analysis, cost)));
  }
  const config = modelConfigOf(settings);
  const steps = totalStepsOf(settings, config);
  const tokens = steps * tokensPerStepOf(settings, config);
  const finished = results.runs.filter((run) => run.finished).length;
  const { structure, batch, precision, data, processor, device } = results.settings;
  const lines = [
    `## ${figure.title}, ${scale} scale`,
    '',
    figure.about,
    '',
    `${String(structure)}; ${steps} steps of ${String(batch)}, ${String(precision)}; ${String(data)}; on ${String(device ?? processor)}.`,
    `That is ${distance(config, tokens, figure.model)}.`,
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
    '![loss against FLOPs](loss-flops.svg)',
    '![loss against time](loss-time.svg)',
    '',
  ];
  writeFileSync(join(out, 'figure.md'), lines.join('\n'));
}
