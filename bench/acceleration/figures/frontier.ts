/**
 * Budget-matched frontiers: runs of several lengths, each with its own warm-up and decay to zero, at several learning
 * rates, each method at its best rate. Not in the paper; it says where growing pays and where it does not.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadSettings } from '../../../lib/cli/settings/config.js';
import { modelConfigOf, tokensPerStepOf } from '../../../lib/cli/settings/resolve.js';
import type { Settings, SettingsInput } from '../../../lib/cli/settings/schema.js';
import { spread } from '../../../lib/report/aggregate.js';
import { formatFlops, formatPercent } from '../../../lib/report/format.js';
import { type Results, readResults, writeResults } from '../../../lib/report/results.js';
import { renderSvg } from '../../../lib/report/svg.js';
import { formatSpread, markdownTable } from '../../../lib/report/table.js';
import { type AnnealedRun, annealedRuns, frontier, frontierSavings } from '../annealed.js';
import { runComparison } from '../comparison.js';
import type { Figure, FigureContext, ScaleName } from '../figure.js';
import { distance, type PaperModel, recipe } from '../scales.js';
import { colors, panelChart, panelSize, seedCurves } from './draw.js';
import { publish } from './publish.js';

interface Grid {
  /** In steps. */
  readonly lengths: readonly number[];
  /** Peak learning rates. */
  readonly rates: readonly number[];
  /** Sequences of a step and tokens of one, where not the recipe's. */
  readonly shape?: Pick<SettingsInput, 'batch' | 'seq'>;
}

const grids: Readonly<Record<ScaleName, Readonly<Record<'gpt' | 'bert', Grid>>>> = {
  nano: {
    // With half the sequences of a step the same tokens give twice the updates.
    gpt: { lengths: [400, 800, 1600], rates: [2e-3, 5e-3], shape: { batch: 8 } },
    // With short sequences BERT leaves its early plateau within these lengths (docs/results.md).
    bert: { lengths: [400, 800, 1600], rates: [1e-3, 2e-3], shape: { batch: 64, seq: 16 } },
  },
  small: both({ lengths: [1000, 2000, 4000, 8000], rates: [6e-4, 1.2e-3] }),
  paper: both({ lengths: [50_000, 100_000, 200_000, 400_000], rates: [1e-4, 2e-4] }),
};

function both(grid: Grid): Record<'gpt' | 'bert', Grid> {
  return { gpt: grid, bert: grid };
}

const reference = 'scratch';
const variants = { apollo: { method: 'apollo' as const, moments: 'reset' } };
const methods = [reference, 'apollo', 'stackbert'];
const looks = [colors.grey, colors.blue, colors.red];

export const frontierGpt = frontierFigure('frontier-gpt', 'gpt-base', 'GPT');
export const frontierBert = frontierFigure('frontier-bert', 'bert-base', 'BERT');

function frontierFigure(name: string, model: PaperModel, title: string): Figure {
  return {
    name,
    title: `Annealed runs of several lengths, ${title}`,
    make: (context) => make(name, `Annealed runs of several lengths, ${title}`, model, context),
  };
}

function gridOf({ scale }: FigureContext, model: PaperModel): Grid {
  return grids[scale][model.startsWith('gpt') ? 'gpt' : 'bert'];
}

interface Made {
  readonly runs: readonly AnnealedRun[];
  readonly settings: Settings;
  /** Description of model and data. */
  readonly about: Results['settings'];
}

async function make(name: string, title: string, model: PaperModel, context: FigureContext): Promise<boolean> {
  const { lengths, rates } = gridOf(context, model);
  const runs: AnnealedRun[] = [];
  for (const learningRate of rates) {
    for (const steps of lengths) {
      const out = join(context.out, `${steps}-steps-${learningRate}`);
      const ran = await comparisonOf({ name, model, steps, learningRate, out }, context);
      if (!ran) return false;
      runs.push(...annealedRuns(ran.results, learningRate));
      await describe(title, model, context, { runs, settings: ran.settings, about: ran.results.settings });
    }
  }
  return true;
}

/** The complete comparison of one length and rate, run now or before; undefined when it was stopped. */
async function comparisonOf(
  {
    name,
    model,
    steps,
    learningRate,
    out,
  }: { name: string; model: PaperModel; steps: number; learningRate: number; out: string },
  context: FigureContext,
): Promise<{ settings: Settings; results: Results } | undefined> {
  const { tokens: _, ...rest } = recipe(context.scale, model);
  const settings: SettingsInput = {
    ...rest,
    ...gridOf(context, model).shape,
    ...context.run,
    data: [...context.data],
    methods,
    variants,
    steps,
    learningRate,
    // The loss at the end is all that is read.
    evaluateEvery: steps,
    evaluationBatches: 16,
  };
  const kept = join(out, 'results.json');
  if (existsSync(kept)) return { settings: loadSettings({ flags: settings }), results: await readResults(kept) };
  if (context.signal.aborted) return undefined;
  const ran = await runComparison(`${name}, ${steps} steps, rate ${learningRate}`, settings, {
    out,
    signal: context.signal,
  });
  if (!ran.complete || !ran.results) return undefined;
  await writeResults(kept, ran.results);
  rmSync(join(out, 'compare'), { recursive: true });
  return { settings: ran.settings, results: ran.results };
}

/** result.json, the picture and figure.md of the lengths that are complete. */
async function describe(title: string, model: PaperModel, context: FigureContext, made: Made): Promise<void> {
  const { runs, settings, about } = made;
  const config = modelConfigOf(settings);
  const longest = Math.max(...runs.map(({ steps }) => steps));
  const fronts = methods.map((method) => ({ method, points: frontier(runs, method) }));
  const panel = {
    title: 'loss at the end of each run, at its best rate',
    x: 'FLOPs',
    y: 'held-out loss',
    free: true,
    xLogarithmic: true,
    series: fronts.flatMap(({ method, points }, index) => {
      const bySeed = [...new Set(points.map(({ seed }) => seed))].map((seed) =>
        points.filter((run) => run.seed === seed).map(({ flops, loss }): [number, number] => [flops, loss]),
      );
      return seedCurves({ name: method, color: looks[index]! }, bySeed);
    }),
  };
  writeFileSync(join(context.out, 'frontier.svg'), await renderSvg(panelChart([panel]), panelSize(1)));
  await publish(context, {
    title: `${title}, ${context.scale} scale`,
    result: { settings: about, runs },
    body: [
      'Runs of several lengths, each with its own warm-up and decay to zero, each method at the better of its learning rates: what each budget achieves on its own. Apollo resets the optimizer state at each growth.',
      `${String(about['structure'])}; ${[...new Set(runs.map(({ steps }) => steps))].join(', ')} steps of ${String(about['batch'])}, rates ${[...new Set(runs.map(({ rate }) => rate))].join(', ')}, ${String(about['precision'])}; ${String(about['data'])}; on ${String(about['device'] ?? about['processor'])}.\nThe longest run is ${distance(config, longest * tokensPerStepOf(settings, config), model)}.`,
      lossTable(runs),
      savingTable(runs),
      '![loss at the end of each run](frontier.svg)',
    ],
  });
}

/** One row per method and length: its best rate, FLOPs and loss. */
function lossTable(runs: readonly AnnealedRun[]): string {
  const lengths = [...new Set(runs.map(({ steps }) => steps))];
  const rows = methods.map((method) => [
    method,
    ...lengths.map((steps) => {
      const own = frontier(runs, method).filter((run) => run.steps === steps);
      const loss = formatSpread(spread(own.map((run) => run.loss)), (value) => value.toFixed(3));
      return `${loss} (${formatFlops(spread(own.map(({ flops }) => flops)).mean)}, rate ${own[0]!.rate})`;
    }),
  ]);
  return markdownTable([['loss at the end', ...lengths.map((steps) => `${steps} steps`)], ...rows]);
}

/** One row per method: FLOPs saved against each length of the reference, over the seeds for which its frontier holds that loss. */
function savingTable(runs: readonly AnnealedRun[]): string {
  const others = methods.filter((method) => method !== reference);
  const lengths = [...new Set(runs.map(({ steps }) => steps))];
  const rows = others.map((method) => [
    method,
    ...frontierSavings(runs, method, reference).map(({ savings, others }) => {
      const more = others.filter((kind) => kind === 'more').length;
      const less = others.length - more;
      const notes = [
        ...(less > 0 ? [`${less} below its shortest run`] : []),
        ...(more > 0 ? [`${more} above its longest`] : []),
      ];
      const figure = savings.length > 0 ? formatSpread(spread(savings), formatPercent) : '-';
      return notes.length > 0 ? `${figure} (${notes.join(', ')})` : figure;
    }),
  ]);
  return markdownTable([
    [`FLOPs saved for the loss of ${reference} at`, ...lengths.map((steps) => `${steps} steps`)],
    ...rows,
  ]);
}
