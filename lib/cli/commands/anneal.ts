/** `apollo-lm anneal`: annealed end-points of a run at a constant rate, each a short decay off a kept checkpoint. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { ApolloError } from '../../errors.js';
import { writeWholeFile } from '../../fs/whole-file.js';
import { type AnnealResults, annealChart, annealRows, type EndPoint, withEndPoint } from '../../report/anneal.js';
import { readMetrics } from '../../report/metrics.js';
import { renderSvg } from '../../report/svg.js';
import { markdownTable, textTable } from '../../report/table.js';
import { anneal, annealFolder, decayShapeNames, decaySteps, endSteps } from '../../train/index.js';
import { interruptible, stoppedByReader, stoppedExitCode } from '../interrupt.js';
import type { CommandIo } from '../io.js';
import { openSession, saveTokenizer } from '../session.js';
import { amount, point } from '../settings/options.js';
import { methodOf, trainOptionsOf } from '../settings/resolve.js';
import { inRunFolder, openRunFolder, type RunFolder } from '../settings/run-folder.js';
import { metricsFile } from '../watch/metrics.js';
import { Progress, type ProgressState, timeLeft } from '../watch/progress.js';
import { Watch } from '../watch/watch.js';
import { describeEvent } from './train.js';

const resultsFile = 'annealed.json';

interface AnnealFlags {
  readonly at: number[];
  readonly decay?: number;
  readonly shape?: (typeof decayShapeNames)[number];
  readonly json?: boolean;
}

export function annealCommand(program: Command, io: CommandIo, finish: (exitCode: number) => void): void {
  program
    .command('anneal')
    .description('branch annealed end-points off a run that was trained with --schedule constant or wsd')
    .argument('<run>', 'folder of the run, trained with --keep-at')
    .addOption(
      new Option('--at <points...>', 'where the decays end: shares of the run (25%, 0.25) or steps')
        .argParser(point)
        .makeOptionMandatory(),
    )
    .addOption(
      new Option('--decay <share>', 'share of the steps of an end-point; default: that of the run, 0.2').argParser(
        amount,
      ),
    )
    .addOption(
      new Option('--shape <name>', 'how the rate decays; default: that of the run, linear').choices(decayShapeNames),
    )
    .option('--json', 'machine-readable lines on stdout')
    .addHelpText('after', '\nEnd-points and results are kept in RUN/anneal; the same command resumes a stopped one.')
    .action(async (run: string, flags: AnnealFlags) => {
      const called = `${io.program} anneal`;
      const trunk = await openRunFolder({ flags: { resume: true, out: run } }, run, called, `${io.program} train`);
      finish(await inRunFolder(trunk, `${io.program} train`, () => runAnneal(trunk, flags, io)));
    });
}

async function runAnneal(trunk: RunFolder, flags: AnnealFlags, io: CommandIo): Promise<number> {
  const path = join(trunk.path, 'anneal');
  const watch = await Watch.open({ ...trunk, path }, io);
  const follow = (state: ProgressState) => watch.progress(state);
  const progress = new Progress(io, { quiet: flags.json === true && !io.stderr.isTTY, follow });
  watch.warnBy((text) => progress.warn(text));
  return interruptible(
    io,
    (byReader) => progress.stopping('the current step finishes and a checkpoint is written.', byReader),
    async (signal) => {
      const work = () => annealOnce(trunk, { path, flags, io, progress, watch, signal });
      return (await watch.during(signal, work)) === 'stopped' ? stoppedExitCode(signal) : 0;
    },
  );
}

interface Surroundings {
  readonly path: string;
  readonly flags: AnnealFlags;
  readonly io: CommandIo;
  readonly progress: Progress;
  readonly watch: Watch;
  readonly signal: AbortSignal;
}

async function annealOnce(
  { settings, path: run }: RunFolder,
  { path, flags, io, progress, watch, signal }: Surroundings,
): Promise<'finished' | 'stopped'> {
  const { share = 0.2, shape = 'linear' } = { ...settings.decay, ...given(flags) };
  const { method: label, seed, init } = settings;
  if (settings.schedule !== 'constant' && settings.schedule !== 'wsd') {
    throw new ApolloError(
      'BAD_CONFIG',
      `${run} was trained with schedule ${settings.schedule}; decays branch off a constant learning rate. Train with --schedule constant or wsd.`,
    );
  }
  let endPoints = await earlierEndPoints(path, { share, shape });
  const session = await openSession(settings, progress, signal, {
    resume: true,
    needsHeldOut: 'end-points are measured on held-out text',
  });
  try {
    await saveTokenizer(session, path);
    watch.begin(session);
    const { device, model, batches: corpus, precision } = session;
    const options = trainOptionsOf(settings, model.config, seed, precision);
    const method = methodOf(settings, label, model.config, seed);
    const ends = endSteps(options.steps, flags.at, '--at');
    const stepsOf = (end: number) => decaySteps(end, share);
    const all = ends.reduce((sum, end) => sum + stepsOf(end), 0);
    let isNew = false;
    const started = io.now();
    let steps = 0;
    let aborted = false;
    const results = (): AnnealResults => ({
      format: 'apollo-lm/anneal/1',
      ...{ run, method: label, seed, endPoints },
      decay: { share, shape },
    });
    const decays = anneal(
      { ...options, keepAt: [], evaluateEvery: Math.max(1, Math.ceil(stepsOf(ends[0] as number) / 2)) },
      { at: ends, decay: share, shape },
      { device, model, method, corpus, init, signal, trunk: join(run, 'checkpoints'), out: path },
    );
    for await (const { end, event } of decays) {
      if (flags.json) io.stdout.write(`${JSON.stringify({ end, ...event })}\n`);
      else if (event.type !== 'step' && event.type !== 'start' && event.type !== 'done') {
        const line = describeEvent(event);
        if (line) progress.message(`end-point ${end}: ${line}`);
      }
      if (event.type === 'step') {
        steps++;
        progress.update({
          label: `end-point ${end}`,
          detail: `step ${event.step}/${end}`,
          done: Math.min(1, steps / all),
          loss: event.loss,
          tokensPerSecond: event.tokensPerSecond,
          etaMs: timeLeft(io.now() - started, Math.min(1, steps / all), 0),
        });
      }
      await watch.add({ method: `${label}-${end}`, seed, folder: join(path, annealFolder(end)) }, event);
      if (event.type === 'done') {
        aborted = event.aborted;
        const { tokens, flopsModel } = event;
        const loss = (await evaluationsOf(join(path, annealFolder(end)))).at(-1)?.loss;
        if (aborted || loss === undefined) continue;
        endPoints = withEndPoint(endPoints, { end, from: end - stepsOf(end), tokens, flopsModel, loss });
        isNew = true;
      }
    }
    progress.clear();
    if (isNew) await writeReport(path, results(), await evaluationsOf(run));
    if (flags.json) io.stdout.write(`${JSON.stringify({ type: 'results', ...results() })}\n`);
    else if (isNew) io.stdout.write(`${textTable(annealRows(results()))}\n\n${path}\n`);
    if (aborted) progress.stopped('Stopped. Resume with the same command.', stoppedByReader(signal));
    return aborted ? 'stopped' : 'finished';
  } finally {
    progress.clear();
    await session.close();
  }
}

/** Options of the decay from the command line. */
function given({ decay, shape }: AnnealFlags) {
  return { ...(decay !== undefined && { share: decay }), ...(shape && { shape }) };
}

/**
 * End-points of earlier commands.
 * @throws ApolloError BAD_CONFIG for those of another decay, which would be lost; FILE_SYSTEM.
 */
async function earlierEndPoints(folder: string, asked: AnnealResults['decay']): Promise<readonly EndPoint[]> {
  const path = join(folder, resultsFile);
  if (!existsSync(path)) return [];
  const { decay, endPoints } = await earlierResults(path);
  if (decay.share === asked.share && decay.shape === asked.shape) return endPoints;
  const inWords = ({ share, shape }: AnnealResults['decay']) => `--decay ${share} --shape ${shape}`;
  throw new ApolloError(
    'BAD_CONFIG',
    `${folder} has end-points with ${inWords(decay)}; this command asks for ${inWords(asked)}. Nothing was changed. Move that folder away to keep both, or give the same decay.`,
  );
}

async function earlierResults(path: string): Promise<AnnealResults> {
  try {
    const { decay, endPoints, ...rest } = JSON.parse(await readFile(path, 'utf8')) as AnnealResults;
    return { ...rest, decay: { ...decay }, endPoints: [...endPoints] };
  } catch (error) {
    throw new ApolloError(
      'FILE_SYSTEM',
      `${path}, the results of earlier end-points, cannot be read: ${(error as Error).message} Remove it, and give all end-points again.`,
    );
  }
}

/** Held-out losses at full depth in a folder's metrics. */
async function evaluationsOf(folder: string): Promise<{ flopsModel: number; loss: number }[]> {
  const found: { flopsModel: number; loss: number }[] = [];
  for await (const record of readMetrics(join(folder, metricsFile))) {
    if (record.type !== 'evaluation' || record.lossFull === null) continue;
    found.push({ flopsModel: record.flopsModel, loss: record.lossFull });
  }
  return found;
}

/** annealed.json, table.md and frontier.svg. */
async function writeReport(
  folder: string,
  results: AnnealResults,
  curve: readonly { readonly flopsModel: number; readonly loss: number }[],
): Promise<void> {
  await Promise.all([
    writeWholeFile(join(folder, resultsFile), `${JSON.stringify(results, undefined, 2)}\n`, 'The results'),
    writeWholeFile(join(folder, 'table.md'), `${markdownTable(annealRows(results))}\n`, 'The table'),
    renderSvg(annealChart(results, curve)).then((svg) =>
      writeWholeFile(join(folder, 'frontier.svg'), svg, 'The chart'),
    ),
  ]);
}
