/** `apollo-lm compare`: methods against a reference on the same batches, and the report of it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { type ResultsEvent, resultsFile, withResults } from '../../compare/index.js';
import { writeWholeFile } from '../../fs/whole-file.js';
import type { Analysis } from '../../report/aggregate.js';
import { lossChart } from '../../report/charts.js';
import { htmlReport } from '../../report/html.js';
import { type Results, readResults, writeResults } from '../../report/results.js';
import { renderSvg } from '../../report/svg.js';
import { markdownTable, tableRows, textTable, verdicts } from '../../report/table.js';
import { comparisonOf } from '../comparison.js';
import { interruptible, stoppedByReader, stoppedExitCode } from '../interrupt.js';
import type { CommandIo } from '../io.js';
import { asRanks, inFolderOfRanks, type Seat } from '../ranks.js';
import { openSession, saveTokenizer } from '../session.js';
import { addSettings, flagsOf, runOptions, trainingOptions, watchOptions } from '../settings/options.js';
import { presetHelp } from '../settings/presets.js';
import { quoted } from '../settings/quoted.js';
import { seedsOf } from '../settings/resolve.js';
import { openRunFolder, type RunFolder, runSettings } from '../settings/run-folder.js';
import type { Settings } from '../settings/schema.js';
import { Progress, type ProgressState, timeLeft } from '../watch/progress.js';
import { Watch } from '../watch/watch.js';
import { describeEvent, type Surroundings } from './train.js';

export function compareCommand(program: Command, io: CommandIo, finish: (exitCode: number) => void): void {
  const command = program
    .command('compare')
    .description('train with several methods on the same batches and compare them');
  const keys = ['methods', ...runOptions, 'seeds', ...trainingOptions, ...watchOptions] as const;
  addSettings(command, keys).addHelpText('after', presetHelp);
  command.action(async (parsed: Record<string, unknown>) => {
    const { preset, config, json } = parsed as { preset?: string; config?: string; json?: boolean };
    const called = `${io.program} compare`;
    const sources = { preset, config, flags: flagsOf(parsed), trains: 'methods' } as const;
    const exitCode = await asRanks(
      io,
      () => runSettings(sources),
      async (io, seat) => {
        const site = {
          open: () => openRunFolder(sources, 'runs/compare', called),
          settings: () => runSettings(sources),
          lead: (folder: RunFolder) => runComparison(folder, json === true, io, seat),
          follow: (settings: Settings, path: string, seat: Seat) => follow(settings, path, io, seat),
        };
        return inFolderOfRanks(called, seat, site);
      },
    );
    finish(exitCode);
  });
}

const needsHeldOut = 'methods are compared by their loss on held-out text';

/** Trains every run on a rank other than the first, which is the one that reports and writes; the exit code. */
async function follow(settings: Settings, path: string, io: CommandIo, seat: Seat): Promise<number> {
  return interruptible(
    io,
    () => {},
    async (signal) => {
      const { resume } = settings;
      const plan = { resume, comparing: true, needsHeldOut };
      const session = await openSession(settings, new Progress(io), signal, plan, seat);
      try {
        const comparison = comparisonOf({ settings, session, folder: path, resume, signal });
        for await (const _ of comparison.run()); // the first rank reports
        return comparison.stopped ? stoppedExitCode(signal) : 0;
      } finally {
        await session.close();
      }
    },
  );
}

/** Runs the comparison and writes its report; the exit code. */
async function runComparison(folder: RunFolder, json: boolean, io: CommandIo, seat?: Seat): Promise<number> {
  const watch = await Watch.open(folder, io, folder.settings.methods[0]);
  const follow = (state: ProgressState) => watch.progress(state);
  const progress = new Progress(io, { quiet: json && !io.stderr.isTTY, follow });
  const say = (text: string) => progress.message(text);
  watch.warnBy((text) => progress.warn(text));
  for (const note of folder.notes) progress.warn(note);
  if (watch.url) say(`dashboard: ${watch.url}`);
  return interruptible(
    io,
    (byReader) => !watch.ended && progress.stopping('every run writes a checkpoint.', byReader),
    async (signal) => {
      const outcome = await watch.during(signal, () =>
        compareOnce(folder, { json, io, progress, watch, signal }, seat),
      );
      return outcome === 'stopped' ? stoppedExitCode(signal) : 0;
    },
  );
}

async function compareOnce(
  { settings, path, resume }: RunFolder,
  { json, io, progress, watch, signal }: Surroundings,
  seat?: Seat,
): Promise<'finished' | 'stopped'> {
  const say = (text: string) => progress.message(text);
  const emit = (value: unknown) => io.stdout.write(`${JSON.stringify(value)}\n`);
  const resultsPath = join(path, resultsFile);
  const session = await openSession(settings, progress, signal, { resume, comparing: true, needsHeldOut }, seat);
  try {
    const comparison = comparisonOf({ settings, session, folder: path, resume, signal });
    // Before anything is written: where it is refused, the folder stays as it is.
    if (resume && existsSync(resultsPath)) comparison.continueFrom(await readResults(resultsPath));
    await saveTokenizer(session, path);
    watch.begin(session);
    const write = (results: Results, step?: number) => {
      const written = () => writeResults(resultsPath, results);
      return step === undefined ? written() : watch.attempt('The results', step, written);
    };
    say(`${session.description['structure']}; ${session.description['data']}; ${session.precision}`);
    const started = io.now();
    let startShare: number | undefined;
    let last: ResultsEvent | undefined;
    for await (const each of withResults(comparison, write)) {
      if (each.type === 'results') {
        last = each;
        continue;
      }
      const { method, seed, folder, event, done } = each;
      if (json) emit({ method, seed, ...event });
      if (event.type === 'step') {
        startShare ??= done;
        progress.update({
          label: seedsOf(settings).length > 1 ? `${method}, seed ${seed}` : method,
          detail: `step ${event.step}, depth ${event.depth}`,
          done,
          loss: event.loss,
          tokensPerSecond: event.tokensPerSecond,
          etaMs: timeLeft(io.now() - started, done, startShare),
        });
      } else if (
        event.type === 'growth' ||
        event.type === 'warning' ||
        (event.type === 'done' && event.stepsWithoutTarget)
      ) {
        say(`${method}, seed ${seed}, ${describeEvent(event)}`);
      }
      await watch.add({ method, seed, folder }, event);
    }
    progress.clear();
    const { results, analysis } = last!;
    const aborted = comparison.stopped && !last!.finished;
    for (const { method, seed, finished, evaluations } of results.runs) {
      if (!finished || evaluations.length > 0) continue;
      const run = `${method}-${seed}`;
      progress.warn(
        `${resultsFile} has no evaluations of ${run}, which is finished, so it is left out. To train it again, remove the folder ${join(path, run)} and resume.`,
      );
    }
    if (analysis) {
      const files = await writeReport(path, results, analysis);
      if (json) emit({ type: 'results', path: resultsPath, report: files.html, analysis });
      else io.stdout.write(summary(analysis, files.html));
    }
    if (aborted) {
      progress.stopped(
        `Stopped. Resume with: ${io.program} compare --resume --out ${quoted(path)}`,
        stoppedByReader(signal),
      );
    }
    return aborted ? 'stopped' : 'finished';
  } finally {
    progress.clear();
    await session.close();
  }
}

/** The table and the verdicts of a comparison, for a terminal. */
export function summary(analysis: Analysis, report: string): string {
  return `${textTable(tableRows(analysis))}\n\n${verdicts(analysis).join('\n')}\n\nreport: ${report}\n`;
}

/** report.html, loss-flops.svg and table.md in the comparison's folder. */
export async function writeReport(folder: string, results: Results, analysis: Analysis): Promise<{ html: string }> {
  const html = join(folder, 'report.html');
  const chart = join(folder, 'loss-flops.svg');
  const rows = markdownTable(tableRows(analysis));
  await Promise.all([
    htmlReport(results, analysis).then((page) => writeWholeFile(html, page, 'The report')),
    renderSvg(lossChart(results, analysis, 'flopsModel')).then((svg) => writeWholeFile(chart, svg, 'The chart')),
    writeWholeFile(join(folder, 'table.md'), `${rows}\n\n${verdicts(analysis).join('\n')}\n`, 'The table'),
  ]);
  return { html };
}
