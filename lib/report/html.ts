/**
 * The page of a comparison: one file without links to anything outside it. Charts are live (zoom, tooltips) where scripts
 * run and pictures where they do not.
 */
import { readFile } from 'node:fs/promises';
import * as is from '../is.js';
import type { Analysis } from './aggregate.js';
import { chartLibrary } from './chart-library.js';
import { type ChartOption, depthChart, lossChart } from './charts.js';
import { formatDuration, formatFlops, formatPercent } from './format.js';
import type { Costs, Results } from './results.js';
import { renderSvg } from './svg.js';
import { tableRows, verdicts } from './table.js';

interface Figure {
  readonly title: string;
  readonly note: string;
  readonly option: ChartOption;
}

const takesHtmlReport = is.takes('htmlReport', {
  results: is.results,
  analysis: is.analysis,
  options: is.options({ interactive: is.optional(is.boolean) }),
});

/**
 * The whole page as text: verdicts, tables and charts, with everything it needs in it.
 * @param results The runs, and the settings for the head of the page.
 * @param analysis What `analyse` made of the same results.
 * @param options Whether the page has scripts.
 * @example
 * await writeFile('report.html', await htmlReport(results, analysis));
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function htmlReport(
  results: Results,
  analysis: Analysis,
  options: {
    /** Whether charts answer to the mouse; false leaves their script of 0.7 MB out. Default: true. */
    interactive?: boolean;
  } = {},
): Promise<string> {
  takesHtmlReport(results, analysis, options);

  const interactive = options.interactive ?? true;
  const figures = figuresOf(results, analysis);
  const pictures = await Promise.all(figures.map((figure) => renderSvg(figure.option)));
  const body = figures.map((figure, index) => {
    return (
      `<figure><figcaption><b>${escapeHtml(figure.title)}</b> ${escapeHtml(figure.note)}</figcaption>` +
      `<div class="chart" data-chart="${index}">${pictures[index]}</div></figure>`
    );
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(titleOf(results, analysis))}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escapeHtml(titleOf(results, analysis))}</h1>
${verdicts(analysis)
  .map((sentence) => `<p class="verdict">${escapeHtml(sentence)}</p>`)
  .join('\n')}
${htmlTable(tableRows(analysis))}
${body.join('\n')}
<h2>By seed</h2>
${htmlTable(seedRows(analysis))}
<h2>Settings</h2>
${htmlTable([['setting', 'value'], ...Object.entries(results.settings).map(([key, value]) => [key, String(value)])])}
<h2>How the figures are made</h2>
${method(analysis)}
<footer>${escapeHtml(`apollo-lm, ${results.created}`)}</footer>
</main>
${interactive ? await scripts(figures) : ''}
</body>
</html>
`;
}

function figuresOf(results: Results, analysis: Analysis): Figure[] {
  const depths = depthChart(results, analysis);
  return [
    {
      title: 'Loss against FLOPs.',
      note: 'Held-out loss at full depth; FLOPs by the accounting of the paper, evaluation not charged.',
      option: lossChart(results, analysis, 'flopsModel'),
    },
    {
      title: 'Loss against time.',
      note: 'The same against the time of the training steps on this machine.',
      option: lossChart(results, analysis, 'trainMs'),
    },
    ...(depths
      ? [
          {
            title: 'Depths.',
            note: 'Depths of the steps of a stage, in the stages that sample the depth.',
            option: depths,
          },
        ]
      : []),
  ];
}

function titleOf(results: Results, analysis: Analysis): string {
  const others = analysis.methods.filter((entry) => !entry.isReference).map((entry) => entry.method);
  const model = results.settings.model ? ` on ${results.settings.model}` : '';
  return others.length > 0
    ? `${others.join(', ')} against ${analysis.reference}${model}`
    : `${analysis.reference}${model}`;
}

function seedRows(analysis: Analysis): string[][] {
  const header = ['method', 'seed', 'final loss', 'FLOPs', 'time', 'saved FLOPs', 'saved FLOPs, target of the seed'];
  const rows = analysis.methods.flatMap((entry) =>
    entry.seeds.map((seed) => [
      entry.method,
      String(seed.seed),
      seed.finalLoss.toFixed(4),
      formatFlops(seed.totals.flopsModel),
      formatDuration(seed.totals.trainMs),
      entry.isReference ? '-' : savedText(seed.saving),
      savedText(seed.savingOfSeed),
    ]),
  );
  return [header, ...rows];
}

/** A saving of FLOPs; '-' before the first step of what it is a share of. */
function savedText(saving: Costs | undefined): string {
  if (!saving) return 'not reached';
  return Number.isFinite(saving.flopsModel) ? formatPercent(saving.flopsModel) : '-';
}

function method(analysis: Analysis): string {
  const reference = escapeHtml(analysis.reference);
  return `<p>The target is the final held-out loss of ${reference}: the mean of its last three evaluations, averaged over
seeds. Each curve is smoothed by a running median of three evaluations and made monotone by its running minimum; the first
crossing of the target is interpolated linearly between the two evaluations around it. The saving is one minus the cost
there over everything that ${reference} spends. The row of ${reference} says how far before its end each seed meets its own
target, which is a mean over its last evaluations: so much of each saving any run with the same curve would show. A run that never reaches the target is reported as such, with the loss that is
left; nothing is extrapolated. All methods see the same batches in the same order, and their runs take turns on the machine.
FLOPs count matrix multiplications only, two for a multiply-add, the head on every position and the full square of attention;
layer FLOPs leave the head out; executed FLOPs are what ran.</p>`;
}

function htmlTable(rows: readonly (readonly string[])[]): string {
  const line = (row: readonly string[], tag: string) =>
    `<tr>${row.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('')}</tr>`;
  const [header, ...body] = rows;
  return `<div class="table"><table><thead>${line(header ?? [], 'th')}</thead><tbody>${body
    .map((row) => line(row, 'td'))
    .join('')}</tbody></table></div>`;
}

async function scripts(figures: readonly Figure[]): Promise<string> {
  const options = JSON.stringify(figures.map((figure) => figure.option)).replaceAll('<', '\\u003c');
  return `<script>${(await readFile(chartLibrary(), 'utf8')).replaceAll('</script', '<\\/script')}</script>
<script>
const options = ${options};
const charts = [...document.querySelectorAll('[data-chart]')].map((place) => {
  place.replaceChildren();
  const chart = echarts.init(place, null, { renderer: 'svg' });
  chart.setOption(options[Number(place.dataset.chart)]);
  return chart;
});
addEventListener('resize', () => charts.forEach((chart) => chart.resize()));
</script>`;
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

const style = `
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 0 }
main { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2.5rem }
.verdict { font-size: 1.1rem; margin: .3rem 0 }
.table { overflow-x: auto } table { border-collapse: collapse; font-size: .9rem; margin: 1rem 0 }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
figure { margin: 2rem 0 } figcaption { margin-bottom: .4rem; font-size: .95rem }
.chart { height: 460px } .chart > svg { max-width: 100%; height: auto }
footer { color: #777; font-size: .85rem; margin: 3rem 0 }
`;
