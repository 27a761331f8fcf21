/** `apollo-lm finetune`: a trained model on a task, over several seeds, next to its baselines. */
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { ApolloError } from '../../errors.js';
import {
  checkFineTuning,
  fineTune,
  type SeedRecord,
  taskNames,
  trainedSource,
  untrainedSource,
} from '../../eval/index.js';
import { holdFolder } from '../../fs/hold-folder.js';
import { fineTuneRows } from '../../report/finetune.js';
import { textTable } from '../../report/table.js';
import { openModelFolder } from '../../train/index.js';
import { describeDevice, openDeviceOf, precisionOf } from '../device.js';
import { interruptible, stoppedByReader, stoppedExitCode } from '../interrupt.js';
import type { CommandIo } from '../io.js';
import { warnOfLostOutput } from '../output.js';
import { addDeviceOptions, amount, type DeviceFlags, names, whole } from '../settings/options.js';
import { addTaskOptions, configuredTask } from '../settings/task-options.js';
import {
  checkExamples,
  describeEvent,
  resultsOf,
  thinned,
  tokenizerOf,
  type Variant,
  writeReport,
} from '../settings/tuning.js';
import { Progress, timeLeft } from '../watch/progress.js';

interface Parsed extends DeviceFlags {
  readonly task: string;
  readonly data: string;
  readonly model: string;
  readonly tokenizer?: string;
  readonly epochs: number;
  readonly learningRate: number;
  readonly batch: number;
  readonly accumulation: number;
  readonly seed: number;
  readonly seeds: number;
  readonly maxLength?: number;
  readonly warmup: number;
  readonly dropout: number;
  readonly weightDecay: number;
  readonly examples?: number;
  readonly checkpointMinutes: number;
  readonly keepCheckpoints: number;
  readonly baseline: readonly string[];
  readonly fromScratch?: boolean;
  readonly out?: string;
  readonly json?: boolean;
}

const baselines = ['majority', 'scratch', 'none'];

export function finetuneCommand(program: Command, io: CommandIo, finish: (exitCode: number) => void): void {
  const number = (flags: string, description: string, value: number | undefined, parse = whole) => {
    const made = new Option(flags, description).argParser(parse);
    return value === undefined ? made : made.default(value);
  };
  const command = program
    .command('finetune')
    .description('fine-tune a trained model on a task, beside the majority class and untrained weights')
    .requiredOption('--task <name>', `one of ${taskNames.join(', ')}`)
    .requiredOption('--data <path>', "the task's data in its official layout, or the folder above it")
    .requiredOption('--model <folder>', 'a run, a checkpoint or a Hugging Face folder')
    .option('--tokenizer <path>', 'default: the tokenizer next to the model')
    .addOption(number('--epochs <n>', 'passes over the training examples', 3))
    .addOption(number('--learning-rate <rate>', 'peak learning rate; small models take up to 1e-3', 5e-5, amount))
    .addOption(number('--batch <n>', 'sequences per micro-batch', 32))
    .addOption(number('--accumulation <n>', 'micro-batches per step', 1))
    .addOption(number('--seed <n>', 'first seed', 42))
    .addOption(number('--seeds <n>', 'number of seeds, counted up from --seed', 1))
    .addOption(number('--max-length <n>', 'most tokens per sequence; default: 128, for SQuAD 384', undefined))
    .addOption(number('--warmup <share>', 'share of the steps in which the learning rate rises', 0.1, amount))
    .addOption(number('--dropout <p>', 'drop probability', 0.1, amount))
    .addOption(number('--weight-decay <rate>', 'AdamW, not on biases and norms', 0.01, amount))
    .addOption(number('--examples <n>', 'train on this many examples only, spread evenly over the file', undefined))
    .addOption(
      number('--checkpoint-minutes <n>', 'minutes of training between checkpoints; 0: after epochs only', 10, amount),
    )
    .addOption(number('--keep-checkpoints <n>', 'checkpoints that are kept until a seed is finished', 2))
    .addOption(
      new Option('--baseline <names>', `what to compare with, separated by commas: ${baselines.join(', ')}`)
        .argParser(names)
        .default(['majority'], 'majority'),
    )
    .option('--from-scratch', 'also train the same structure from random weights; same as --baseline majority,scratch');
  addTaskOptions(addDeviceOptions(command))
    .option('--out <folder>', 'folder for models and results; default: runs/finetune-TASK')
    .option('--json', 'machine-readable lines on stdout')
    .addHelpText('after', '\nThe same command resumes from the newest complete checkpoint in --out.');
  command.action(async (parsed: Parsed) => finish(await inHeldFolder(parsed, io)));
}

const folderOf = ({ out, task }: Parsed): string => out ?? `runs/finetune-${task}`;

/** Fine-tunes in a folder that no other process works in. One that was made for it and is still empty goes after an error. */
async function inHeldFolder(parsed: Parsed, io: CommandIo): Promise<number> {
  const held = await holdFolder(folderOf(parsed), `${io.program} finetune`);
  try {
    return await runFineTuning(parsed, io);
  } catch (error) {
    await held.undo([]);
    if (!(error instanceof ApolloError && error.code === 'FILE_SYSTEM')) throw error;
    const resume = 'Then give the same command again: it resumes from its folder.';
    throw new ApolloError(error.code, `${error.message} ${resume}`, { cause: error });
  } finally {
    await held.release();
  }
}

async function runFineTuning(parsed: Parsed, io: CommandIo): Promise<number> {
  const progress = new Progress(io, { quiet: parsed.json === true && !io.stderr.isTTY });
  warnOfLostOutput(io.stdout, (text) => progress.warn(text));
  const tuning = await openTuning(parsed, (text) => progress.message(text));
  for (const message of tuning.warnings) {
    progress.warn(message);
    if (parsed.json) io.stdout.write(`${JSON.stringify({ type: 'warning', message })}\n`);
  }
  try {
    return await interruptible(
      io,
      (byReader) => progress.stopping('a checkpoint is written.', byReader),
      (signal) => runVariants(tuning, parsed, { io, progress, signal }),
    );
  } finally {
    progress.clear();
    await tuning.close();
  }
}

type Tuning = Awaited<ReturnType<typeof openTuning>>;

/** Opens everything that a run needs: the model, its tokenizer, the data, the device. Nothing stays open after an error. */
async function openTuning(parsed: Parsed, say: (text: string) => void) {
  const wanted = baselinesOf(parsed);
  const task = configuredTask(parsed.task, { ...parsed });
  if (parsed.seeds < 1) throw new ApolloError('BAD_CONFIG', `--seeds must be at least 1; got ${parsed.seeds}.`);
  const folder = await openModelFolder(parsed.model);
  try {
    const tokenizer = tokenizerOf(folder, parsed.tokenizer);
    const { kind, layers, hidden, maxPositions } = folder.config;
    const { epochs, batch, accumulation, learningRate, warmup, dropout, weightDecay } = parsed;
    const { checkpointMinutes, keepCheckpoints } = parsed;
    const precision = precisionOf(parsed);
    const maxLength = parsed.maxLength ?? Math.min(task.maxLength ?? 128, maxPositions);
    const seeds = Array.from({ length: parsed.seeds }, (_, i) => parsed.seed + i);
    const options = {
      ...{ seeds, epochs, batch, accumulation, learningRate, warmup },
      ...{ dropout, weightDecay, maxLength, precision, checkpointMinutes, keepCheckpoints },
    };
    checkFineTuning(options, { task, tokenizer, config: folder.config }); // before the data are read
    checkExamples(parsed.examples);
    const data = thinned(await task.read(parsed.data, ['train', 'evaluations']), parsed.examples);
    for (const note of data.notes) say(note);
    const source = await trainedSource(folder);
    const variants: Variant[] = [
      { name: 'pre-trained', folder: 'pre-trained', source },
      ...(wanted.includes('scratch')
        ? [{ name: 'from scratch', folder: 'from-scratch', source: untrainedSource(folder.config) }]
        : []),
    ];
    const device = await openDeviceOf(parsed);
    return {
      task,
      data,
      warnings: folder.warnings,
      wanted,
      variants,
      tokenizer,
      device,
      options,
      /** For the head of a report. */
      settings: {
        model: folder.folder,
        structure: `${kind}, ${layers} layers x ${hidden}`,
        ...(task.head.parameters(folder.config).some(({ name }) => source.pooler?.has(name)) && {
          pooler: 'pre-trained',
        }),
        'training examples': data.train.length,
        epochs,
        batch,
        ...(accumulation > 1 && { 'micro-batches': accumulation }),
        'learning rate': learningRate,
        dropout,
        'max length': maxLength,
        precision,
        ...describeDevice(device),
      },
      close: async () => {
        await device.close();
        await folder.close();
      },
    };
  } catch (error) {
    await folder.close();
    throw error;
  }
}

interface Surroundings {
  readonly io: CommandIo;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Runs all seeds of all variants and writes the report after each; the exit code. */
async function runVariants(tuning: Tuning, parsed: Parsed, { io, progress, signal }: Surroundings): Promise<number> {
  const { json = false } = parsed;
  const out = folderOf(parsed);
  const { device, task, data, tokenizer, variants, options } = tuning;
  const records = new Map<string, SeedRecord[]>();
  const results = () => resultsOf({ ...tuning, records });
  const runs = options.seeds.length * variants.length;
  const started = io.now();
  let finished = 0;
  let startShare: number | undefined;
  for (const variant of variants) {
    const seeds: SeedRecord[] = [];
    records.set(variant.name, seeds);
    const { source, folder } = variant;
    for await (const event of fineTune(options, {
      device,
      task,
      data,
      tokenizer,
      source,
      folder: join(out, folder),
      signal,
    })) {
      if (json) io.stdout.write(`${JSON.stringify({ variant: variant.name, ...event })}\n`);
      if (event.type === 'step') {
        const done = (finished + event.step / event.steps) / runs;
        startShare ??= done;
        progress.update({
          label: `${variant.name}, seed ${event.seed}`,
          detail: `epoch ${event.epoch} of ${options.epochs}, step ${event.step}/${event.steps}`,
          done,
          loss: event.loss,
          tokensPerSecond: (1000 * event.tokens) / event.ms,
          etaMs: timeLeft(io.now() - started, done, startShare),
        });
      } else if (!json) {
        const line = describeEvent(event);
        if (line) progress.message(`${variant.name}, ${line}`);
      }
      if (event.type === 'seed') {
        seeds.push(event.record);
        finished++;
        await writeReport(out, results());
      }
      if (event.type === 'done' && event.aborted) {
        progress.stopped(`Stopped. The same command resumes from the checkpoint in ${out}.`, stoppedByReader(signal));
        return stoppedExitCode(signal);
      }
    }
  }
  progress.clear();
  const table = textTable(fineTuneRows(results()));
  if (json) io.stdout.write(`${JSON.stringify({ type: 'results', path: join(out, 'results.json') })}\n`);
  else io.stdout.write(`${task.title}, scores x 100, best epoch of each seed\n\n${table}\n\nresults: ${out}\n`);
  return 0;
}

function baselinesOf({ baseline, fromScratch }: Parsed): string[] {
  for (const name of baseline) {
    if (!baselines.includes(name)) {
      throw new ApolloError('BAD_CONFIG', `--baseline must be one of ${baselines.join(', ')}; got "${name}".`);
    }
  }
  const others = baseline.filter((name) => name !== 'none');
  if (baseline.includes('none') && others.length > 0) {
    throw new ApolloError(
      'BAD_CONFIG',
      `--baseline: "none" is given beside ${others.join(', ')}. Give one of the two.`,
    );
  }
  return [...baseline, ...(fromScratch ? ['scratch'] : [])];
}
