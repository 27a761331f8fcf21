/** `apollo-lm train`: one run of one method. */
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { formatDuration, formatFlops } from '../../report/format.js';
import { type TrainEvent, train } from '../../train/index.js';
import { interruptedExitCode, interruptible } from '../interrupt.js';
import type { CommandIo } from '../io.js';
import { addSettings, flagsOf, runOptions, trainingOptions } from '../options.js';
import { presetHelp } from '../presets.js';
import { Progress, timeLeft } from '../progress.js';
import { methodOf, sequenceOf, tokensPerStepOf, trainOptionsOf } from '../resolve.js';
import { openRunFolder } from '../run-folder.js';
import { openSession, saveTokenizer } from '../session.js';
import { plannedFlops } from '../share.js';

export function trainCommand(program: Command, io: CommandIo, finish: (exitCode: number) => void): void {
  const command = program.command('train').description('train one model with one method');
  addSettings(command, ['method', ...runOptions, ...trainingOptions]).addHelpText('after', presetHelp);
  command.action(async (parsed: Record<string, unknown>) => {
    const folder = openRunFolder(
      { preset: parsed['preset'] as string, config: parsed['config'] as string, flags: flagsOf(parsed) },
      'runs/train',
    );
    finish(await runTraining(folder, parsed['json'] === true, io));
  });
}

/** Runs and reports; the exit code. */
async function runTraining(
  { settings, path, resume }: ReturnType<typeof openRunFolder>,
  json: boolean,
  io: CommandIo,
): Promise<number> {
  const progress = new Progress(io, { quiet: json && !io.stderr.isTTY });
  const say = (text: string) => progress.message(text);
  return interruptible(
    io,
    () => say('Stopping: the step under way is finished and a checkpoint written. Ctrl-C again leaves at once.'),
    async (signal) => {
      const session = await openSession(settings, progress, signal);
      const log = createWriteStream(join(path, 'events.jsonl'), { flags: 'a' });
      try {
        await saveTokenizer(session, path);
        const { model, batches: corpus, device, precision } = session;
        const { seed } = settings;
        const method = methodOf(settings, settings.method, model.config, seed);
        const options = trainOptionsOf(settings, model.config, seed, precision);
        const step = { seq: sequenceOf(settings, model.config), tokens: tokensPerStepOf(settings, model.config) };
        const all = plannedFlops(method, model, options.steps, step);
        say(`${settings.method}: ${session.description['structure']}; ${session.description['data']}; ${precision}`);
        const started = io.now();
        let startShare = 0;
        let aborted = false;
        const events = train(options, {
          device,
          model,
          method,
          corpus,
          init: settings.init,
          signal,
          checkpointDir: join(path, 'checkpoints'),
          resume: resume ? 'auto' : false,
        });
        for await (const event of events) {
          log.write(`${JSON.stringify(event)}\n`);
          if (json) io.stdout.write(`${JSON.stringify(event)}\n`);
          if (event.type === 'start') startShare = plannedFlops(method, model, event.step, step) / all;
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
          if (event.type === 'done') aborted = event.aborted;
        }
        progress.clear();
        if (aborted) say(`Stopped. Go on with: ${io.program} train --resume --out ${path}`);
        return aborted ? interruptedExitCode : 0;
      } finally {
        progress.clear();
        await new Promise<void>((done) => log.end(done));
        await session.close();
      }
    },
  );
}

/** What an event says to people; undefined for those that only move the bar. */
export function describeEvent(event: TrainEvent): string | undefined {
  switch (event.type) {
    case 'start':
      return event.resumedFrom ? `going on from ${event.resumedFrom}, step ${event.step} of ${event.steps}` : undefined;
    case 'evaluation': {
      const stage =
        event.lossStage === event.lossFull ? '' : `, ${event.units} layers alone ${event.lossStage.toFixed(4)}`;
      return `step ${event.step}: held-out loss ${event.lossFull.toFixed(4)}${stage}, ${formatFlops(event.flops)}, ${formatDuration(event.trainMs)}`;
    }
    case 'growth':
      return `step ${event.step}: ${event.from} layers grow to ${event.to}`;
    case 'warning':
      return `warning: ${event.message}`;
    case 'done':
      return event.checkpoint ? `checkpoint: ${event.checkpoint}` : undefined;
  }
  return undefined;
}
