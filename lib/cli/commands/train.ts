/** `apollo-lm train`: one run of one method. */
import { join } from 'node:path';
import type { Command } from 'commander';
import { PlannedFlops } from '../../compare/index.js';
import { counted, formatBytes, formatCount, formatDuration, formatFlops } from '../../report/format.js';
import { type StageTraffic, type TrainDependencies, type TrainEvent, train } from '../../train/index.js';
import { interruptible, stoppedByReader, stoppedExitCode } from '../interrupt.js';
import type { CommandIo } from '../io.js';
import { asRanks, inFolderOfRanks, type Seat } from '../ranks.js';
import { openSession, type Session, saveTokenizer } from '../session.js';
import { addSettings, flagsOf, rankOptions, runOptions, trainingOptions, watchOptions } from '../settings/options.js';
import { presetHelp } from '../settings/presets.js';
import { quoted } from '../settings/quoted.js';
import { methodOf, sequenceOf, tokensPerStepOf, trainOptionsOf } from '../settings/resolve.js';
import { openRunFolder, type RunFolder, runSettings } from '../settings/run-folder.js';
import type { Settings } from '../settings/schema.js';
import { Progress, type ProgressState, timeLeft } from '../watch/progress.js';
import { Watch } from '../watch/watch.js';

export function trainCommand(program: Command, io: CommandIo, finish: (exitCode: number) => void): void {
  const command = program.command('train').description('train one model with one method');
  const keys = ['method', ...runOptions, ...rankOptions, ...trainingOptions, ...watchOptions] as const;
  addSettings(command, keys).addHelpText('after', presetHelp);
  command.action(async (parsed: Record<string, unknown>) => {
    const called = `${io.program} train`;
    const sources = {
      preset: parsed['preset'] as string,
      config: parsed['config'] as string,
      flags: flagsOf(parsed),
      trains: 'method' as const,
    };
    const exitCode = await asRanks(
      io,
      () => runSettings(sources),
      async (io, seat) => {
        const site = {
          open: () => openRunFolder(sources, 'runs/train', called),
          settings: () => runSettings(sources),
          lead: (folder: RunFolder) => runTraining(folder, parsed['json'] === true, io, seat),
          follow: (settings: Settings, _: string, seat: Seat) => follow(settings, io, seat),
        };
        return inFolderOfRanks(called, seat, site);
      },
    );
    finish(exitCode);
  });
}

/** Trains on a rank other than the first, which is the one that reports and writes; the exit code. */
async function follow(settings: Settings, io: CommandIo, seat: Seat): Promise<number> {
  return interruptible(
    io,
    () => {},
    async (signal) => {
      const session = await openSession(settings, new Progress(io), signal, { resume: settings.resume }, seat);
      try {
        let aborted = false;
        for await (const event of trainingOf(session, settings).events({ signal })) {
          if (event.type === 'done') aborted = event.aborted;
          // State that this rank keeps next to the first rank's checkpoint; the others do not know of it.
          if (event.type === 'warning' && event.code === 'CHECKPOINT_FAILED') {
            const { rank, size } = seat.group;
            seat.stderr.write(`rank ${rank} of ${size}: warning: ${event.message}\n`);
          }
        }
        return aborted ? stoppedExitCode(signal) : 0;
      } finally {
        await session.close();
      }
    },
  );
}

/** Runs and reports; the exit code. */
async function runTraining(folder: RunFolder, json: boolean, io: CommandIo, seat?: Seat): Promise<number> {
  const watch = await Watch.open(folder, io);
  const follow = (state: ProgressState) => watch.progress(state);
  const progress = new Progress(io, { quiet: json && !io.stderr.isTTY, follow });
  const say = (text: string) => progress.message(text);
  watch.warnBy((text) => progress.warn(text));
  for (const note of folder.notes) progress.warn(note);
  if (watch.url) say(`dashboard: ${watch.url}`);
  const stopping = 'the current step finishes and a checkpoint is written.';
  return interruptible(
    io,
    (byReader) => !watch.ended && progress.stopping(stopping, byReader),
    async (signal) => {
      const outcome = await watch.during(signal, () => trainOnce(folder, { json, io, progress, watch, signal }, seat));
      return outcome === 'stopped' ? stoppedExitCode(signal) : 0;
    },
  );
}

/** Context of a training command. */
export interface Surroundings {
  readonly json: boolean;
  readonly io: CommandIo;
  readonly progress: Progress;
  readonly watch: Watch;
  readonly signal: AbortSignal;
}

/** The run of a session: its method and options, and its events. */
function trainingOf({ model, batches: corpus, device, group, precision }: Session, settings: Settings) {
  const { seed, init } = settings;
  const method = methodOf(settings, settings.method, model.config, seed);
  const options = trainOptionsOf(settings, model.config, seed, precision);
  const events = (files: Pick<TrainDependencies, 'signal' | 'checkpointDir' | 'resume'>) =>
    train(options, { device, group, model, method, corpus, init, ...files });
  return { method, options, events };
}

async function trainOnce(
  { settings, path, resume }: RunFolder,
  { json, io, progress, watch, signal }: Surroundings,
  seat?: Seat,
): Promise<'finished' | 'stopped'> {
  const say = (text: string) => progress.message(text);
  const session = await openSession(settings, progress, signal, { resume }, seat);
  try {
    await saveTokenizer(session, path);
    watch.begin(session);
    const { model, precision } = session;
    const { seed } = settings;
    const { method, options, events } = trainingOf(session, settings);
    const step = { seq: sequenceOf(settings, model.config), tokens: tokensPerStepOf(settings, model.config) };
    const planned = new PlannedFlops(method, model, step);
    const all = planned.upTo(options.steps);
    say(`${settings.method}: ${session.description['structure']}; ${session.description['data']}; ${precision}`);
    const started = io.now();
    let startShare = 0;
    let aborted = false;
    const files = { checkpointDir: join(path, 'checkpoints'), resume: resume ? ('auto' as const) : false };
    for await (const event of events({ signal, ...files })) {
      if (json) io.stdout.write(`${JSON.stringify(event)}\n`);
      if (event.type === 'start') startShare = planned.upTo(event.step) / all;
      if (event.type === 'step') {
        const done = event.flopsModel / all;
        progress.update({
          label: settings.method,
          detail: `step ${event.step}/${options.steps}, depth ${event.depth}`,
          done,
          loss: event.loss,
          tokensPerSecond: event.tokensPerSecond,
          etaMs: timeLeft(io.now() - started, done, startShare),
        });
      } else if (!json) {
        const line = describeEvent(event);
        if (line) say(line);
      }
      await watch.add({ method: settings.method, seed, folder: path }, event);
      if (event.type === 'done') aborted = event.aborted;
    }
    progress.clear();
    if (aborted)
      progress.stopped(
        `Stopped. Resume with: ${io.program} train --resume --out ${quoted(path)}`,
        stoppedByReader(signal),
      );
    return aborted ? 'stopped' : 'finished';
  } finally {
    progress.clear();
    await session.close();
  }
}

/** Traffic between ranks in the stage that ends. */
function describeTraffic(stage: StageTraffic | undefined): string {
  if (!stage) return '';
  const { steps, bytesPerStep, bytesPerToken } = stage;
  return `; ranks exchanged ${formatBytes(bytesPerStep)} per step, ${formatCount(bytesPerToken)} bytes per token, in the ${steps} steps before`;
}

/** The line that an event prints; undefined for events that only move the bar. */
export function describeEvent(event: TrainEvent): string | undefined {
  switch (event.type) {
    case 'start':
      return event.resumedFrom ? `resumed from ${event.resumedFrom}, step ${event.step} of ${event.steps}` : undefined;
    case 'evaluation': {
      const stage =
        event.lossStage === event.lossFull
          ? ''
          : `, ${counted(event.trainedLayers, 'layer')} alone ${event.lossStage.toFixed(4)}`;
      return `step ${event.step}: held-out loss ${event.lossFull.toFixed(4)}${stage}, ${formatFlops(event.flopsModel)}, ${formatDuration(event.trainMs)}`;
    }
    case 'growth':
      return `step ${event.step}: ${counted(event.from, 'layer')} ${event.from === 1 ? 'grows' : 'grow'} to ${event.to}${describeTraffic(event.exchanged)}`;
    case 'warning':
      return `warning: ${event.message}`;
    case 'done': {
      const { checkpoint, stepsWithoutTarget: without = 0 } = event;
      const lines = [
        ...(without > 0 ? [`warning: ${without} steps had nothing to predict and were skipped`] : []),
        ...(event.exchanged ? [`step ${event.step}${describeTraffic(event.exchanged)}`] : []),
        ...(checkpoint ? [`checkpoint: ${checkpoint}`] : []),
      ];
      return lines.length > 0 ? lines.join('\n') : undefined;
    }
  }
  return undefined;
}
