/** Writes what the map has found so far: records.json, a picture per kind of model, and the page. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spread } from '../../../lib/report/aggregate.js';
import { formatCount, formatFlops, formatPercent } from '../../../lib/report/format.js';
import { renderSvg } from '../../../lib/report/svg.js';
import { formatSpread, markdownTable } from '../../../lib/report/table.js';
import { colors, panelChart, panelSize, type Series } from '../figures/draw.js';
import { type Difference, frontierOf, outcomeOf, type Row, rowsOf } from './analysis.js';
import { type Arm, arms } from './arms.js';
import { type Claim, type ClaimResult, claimNoise, claimResult, claims } from './claims.js';
import { idOf, type MapRecord, type MapResults, type ModelKind, modelKinds, nameOf } from './record.js';
import { budgets, type Round, rounds } from './rounds/index.js';
import { type MapTimes, readTimes, timesTable } from './times.js';

const titles = { gpt: 'GPT', bert: 'BERT', llama: 'Llama' } as const;

export async function writeMap(folder: string, results: MapResults): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const { records } = results;
  const shown = modelKinds.filter((kind) => records.some((record) => record.kind === kind));
  for (const kind of shown) {
    const svg = await renderSvg(panelChart([lossPanel(records, kind)]), panelSize(1));
    write(join(folder, `${kind}.svg`), svg);
  }
  write(join(folder, 'records.json'), `${JSON.stringify(results)}\n`);
  write(join(folder, 'README.md'), page(results, shown, readTimes(folder)));
}

function write(path: string, text: string): void {
  writeFileSync(`${path}.part`, text);
  renameSync(`${path}.part`, path);
}

const palette = [colors.blue, colors.red, colors.green, colors.pink, colors.yellow, colors.sky];

/** Loss at the end against FLOPs: Scratch's frontier, and the arms with the lowest losses at each length. */
function lossPanel(records: readonly MapRecord[], kind: ModelKind) {
  const lengths = lengthsOf(records, kind);
  const best = [
    ...new Set(lengths.flatMap((steps) => rowsOf(records, kind, steps).slice(0, 5)).map(({ tuned }) => nameOf(tuned))),
  ];
  const names = ['scratch', ...best.filter((name) => name !== 'scratch')].slice(0, palette.length + 1);
  const series = names.map((name, index): Series => {
    const [arm = '', optimizer = 'adamw'] = name.split(' + ');
    const runs = frontierOf(records, kind, { arm, optimizer });
    const points = [...new Set(runs.map(({ steps }) => steps))].map((steps) => {
      const own = runs.filter((run) => run.steps === steps);
      return [spread(own.map(({ flops }) => flops)).mean, spread(own.map(({ loss }) => loss)).mean];
    });
    const color = index === 0 ? colors.grey : (palette[(index - 1) % palette.length] as string);
    return { name, color, data: points, points: true };
  });
  const title = `${titles[kind]}: loss at the end of each run, at its best rate and schedule`;
  return { title, x: 'FLOPs', y: 'held-out loss', logarithmic: true, xLogarithmic: true, series };
}

function lengthsOf(records: readonly MapRecord[], kind: ModelKind): number[] {
  const own = records.filter((record) => record.kind === kind);
  return [...new Set(own.map(({ steps }) => steps))].sort((a, b) => a - b);
}

function page({ scale, about, records }: MapResults, shown: readonly ModelKind[], times: MapTimes | undefined): string {
  return [
    `# Which method for what: annealed runs at ${scale} scale`,
    "Made by `npm run bench:map`. Every run reaches the end of its own schedule; each arm is shown at the rate and schedule with which it ends lowest, and is compared with Scratch at its own best rate and schedule over the same seeds. FLOPs saved at the arm's loss: compared with the FLOPs that Scratch needs for that loss, interpolated between the runs of Scratch of all lengths. FLOPs saved at Scratch's loss: as a share of Scratch's FLOPs, interpolated between the runs of the arm. FLOPs are those of the network, as in the paper; in brackets, those of the optimizer are added (Muon's iterations, which are a large share here, with 1,024 tokens per step and matrices 64 wide). Nothing is extrapolated: a value outside the range of the runs is omitted or given as a bound.",
    markdownTable([['setting', 'value'], ...Object.entries(about).map(([key, value]) => [key, String(value)])]),
    ...shown.flatMap((kind) => [
      `## ${titles[kind]}`,
      `![${titles[kind]}](${kind}.svg)`,
      ...lengthsOf(records, kind).map((steps) => lengthSection(records, kind, steps)),
    ]),
    ...(times ? ['## Time against FLOPs', timesText(times)] : []),
    ...shown.flatMap((kind) => {
      const table = times && timesTable(times, kind);
      return table ? [`${titles[kind]}:`, table] : [];
    }),
    "## The paper's claims",
    claimsText,
    ...shown.filter((kind) => kind !== 'llama').map((kind) => claimsTable(records, kind)),
    '## Predictions',
    ...rounds.map((round) => predictionTable(records, round)),
    '',
  ].join('\n\n');
}

function lengthSection(records: readonly MapRecord[], kind: ModelKind, steps: number): string {
  const rows = rowsOf(records, kind, steps);
  const [first] = rows;
  const { tokens, parameters } = first!.tuned.runs[0]!;
  return [
    `### ${formatCount(tokens)} tokens (${(tokens / parameters).toFixed(1)} per parameter)`,
    '',
    markdownTable([
      [
        'arm',
        'loss',
        'rate, schedule',
        'against Scratch at equal tokens',
        'at equal FLOPs',
        'FLOPs',
        'of Scratch',
        'FLOPs saved at its loss',
        "at Scratch's loss",
        'seeds',
      ],
      ...rows.map((row) => [
        `${nameOf(row.tuned)}: ${(arms as Readonly<Record<string, Arm>>)[row.tuned.arm]?.title ?? ''}`,
        formatSpread(row.tuned.loss, (value) => value.toFixed(4)),
        [row.tuned.rate, row.tuned.schedule, ...(row.tuned.warmup ? [`warm-up ${row.tuned.warmup}`] : [])].join(', '),
        row.difference ? formatDifference(row.difference) : '-',
        row.equalFlops ? formatSpread(row.equalFlops, formatSigned).replace('± +', '± ') : '-',
        formatFlops(row.tuned.flops),
        shareOf(row),
        savingAtOwnLossOf(row),
        savingOf(row),
        String(row.tuned.runs.length),
      ]),
    ]),
  ].join('\n');
}

const shareOf = ({ flopsShare, updateFlops, tuned: { flops } }: Row): string =>
  flopsShare === undefined
    ? '-'
    : `${formatPercent(flopsShare)}${inBrackets(updateFlops, formatPercent((flopsShare * (flops + updateFlops)) / flops))}`;

function savingAtOwnLossOf({ savingAtOwnLoss, savingWithUpdates, updateFlops }: Row): string {
  if (!savingAtOwnLoss || !savingWithUpdates) return '-';
  return `${formatSpread(savingAtOwnLoss, formatPercent)}${inBrackets(updateFlops, formatPercent(savingWithUpdates.mean))}`;
}

const inBrackets = (updateFlops: number, text: string): string => (updateFlops === 0 ? '' : ` (${text})`);

function savingOf({ saving, outside, flopsShare = 1 }: Row): string {
  const seeds = (count: number) => (count === 1 ? 'one seed' : `${count} seeds`);
  const notes = [
    ...(outside.below > 0 ? [`at least ${formatPercent(1 - flopsShare)} (${seeds(outside.below)})`] : []),
    ...(outside.notReached > 0 ? [`not reached (${seeds(outside.notReached)})`] : []),
  ];
  const figure = saving ? formatSpread(saving, formatPercent) : '';
  return [figure, ...notes].filter((text) => text !== '').join(', ') || '-';
}

/** "-0.012 ± 0.004": mean and half of the 95 % interval over paired seeds. */
function formatDifference({ mean, halfWidth }: Difference): string {
  return `${formatSigned(mean)}${halfWidth === undefined ? '' : ` ± ${halfWidth.toFixed(4)}`}`;
}

function formatSigned(value: number): string {
  return `${value >= 0 ? '+' : ''}${value.toFixed(4)}`;
}

const timesText = ({ steps, about }: MapTimes): string =>
  `Made by \`npm run bench:map -- --times ${steps}\` (${about.processor}, ${about.precision}, quiet). The arms train in turns for ${steps} steps; steps of the same network count with their median, so that compilation does not. Shares are those of Scratch in the same round: the median over rounds, and the range. The last column is the share of time less that of the FLOPs with the optimizer's, in points. It holds for runs of every length, which have the same networks for the same shares of their steps.`;

const claimsText =
  'Loss of the first arm minus that of the second, mean over paired seeds, at equal FLOPs: less what the difference in FLOPs is worth to Scratch, from the next shorter length to this one. A difference within twice its standard error, with the spread between seeds at that length (or the nearest with two seeds), pooled over all arms with AdamW, is within noise. Table 3 compares the same weights on the same text, at 12 and at 6 layers in the 6-layer stage; there it is 0.01.';

function claimsTable(records: readonly MapRecord[], kind: ModelKind): string {
  const lengths = [budgets['8M'], budgets['32M'], budgets['128M']];
  const cell = (claim: Claim, steps: number): string => {
    const result = claimResult(records, claim, kind, steps);
    return result ? formatClaim(result) : 'not run';
  };
  return markdownTable([
    [`${titles[kind]}: claim`, ...lengths.map((steps) => `${formatCount(1024 * steps)} tokens`)],
    ...claims.map((claim) => [claim.text, ...lengths.map((steps) => cell(claim, steps))]),
    ['noise of one seed', ...lengths.map((steps) => claimNoise(records, kind, steps, 1)?.toFixed(4) ?? '-')],
  ]);
}

const formatClaim = ({ verdict, difference, seeds }: ClaimResult): string =>
  `${verdict} (${formatSigned(difference)}, ${seeds === 1 ? 'one seed' : `${seeds} seeds`})`;

function predictionTable(records: readonly MapRecord[], { name, title, predictions, runs }: Round): string {
  const wanted = new Set(runs.map(idOf));
  const made = new Set(records.filter(({ id }) => wanted.has(id)).map(({ id }) => id));
  const state =
    made.size < wanted.size ? `${made.size} of ${wanted.size} runs made; outcomes are those so far` : 'complete';
  return [
    `Round (${name}): ${title} (${state}).`,
    '',
    markdownTable([
      ['prediction, written before the runs', 'difference', 'outcome'],
      ...predictions.map((prediction) => {
        const { outcome, difference } = outcomeOf(records, prediction);
        return [prediction.text, difference ? formatDifference(difference) : '-', outcome];
      }),
    ]),
  ].join('\n');
}
