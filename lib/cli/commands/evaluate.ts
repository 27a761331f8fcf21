/** `apollo-lm evaluate`: what a trained model makes of text and of LAMBADA, and a fine-tuned one of its task. */
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { checkVocabulary, mlmIds, type ReadOptions, type Tokenizer } from '../../data/index.js';
import { checkReading } from '../../data/read/inputs.js';
import type { Device } from '../../engine/index.js';
import { ApolloError } from '../../errors.js';
import {
  checkLambada,
  checkWindow,
  evaluateTask,
  isFineTuned,
  lambada,
  readFineTuned,
  readPassages,
  readTokens,
  taskNames,
  textLoss,
} from '../../eval/index.js';
import { writeWholeFile } from '../../fs/whole-file.js';
import { checkWritable } from '../../fs/writable.js';
import { objectiveOf } from '../../models/index.js';
import { formatCount } from '../../report/format.js';
import { type LoadedModel, loadModel } from '../../train/index.js';
import { checkFormat } from '../corpus.js';
import { openDeviceOf, precisionOf } from '../device.js';
import { interruptible } from '../interrupt.js';
import type { CommandIo } from '../io.js';
import { addDeviceOptions, addOptions, type DeviceFlags, readOptions, whole } from '../settings/options.js';
import { flagOf } from '../settings/schema.js';
import { addTaskOptions, configuredTask, givenTaskOption } from '../settings/task-options.js';
import { describeScores, tokenizerOf } from '../settings/tuning.js';
import { Progress } from '../watch/progress.js';

interface Parsed extends ReadOptions, DeviceFlags {
  readonly model: string;
  readonly tokenizer?: string;
  readonly text?: readonly string[];
  readonly lambada?: string;
  readonly task?: string;
  readonly data?: string;
  readonly seq?: number;
  readonly stride?: number;
  readonly batch: number;
  readonly out?: string;
  readonly json?: boolean;
}

export function evaluateCommand(program: Command, io: CommandIo): void {
  const number = (flags: string, description: string) => new Option(flags, description).argParser(whole);
  const command = program
    .command('evaluate')
    .description('measure a trained model on text or LAMBADA, or a fine-tuned one on its task')
    .requiredOption('--model <folder>', 'a run, a checkpoint, a Hugging Face folder, or a fine-tuned model')
    .option('--tokenizer <path>', 'default: the tokenizer next to the model')
    .option('--text <paths...>', 'loss and perplexity of files, folders or patterns; formats as in train --data')
    .option('--lambada <file>', 'predict the last word of each passage: one passage per line of text, or per record');
  addOptions(command, readOptions)
    .option('--task <name>', `a fine-tuned model's task: ${taskNames.join(', ')}; default: the one it was tuned on`)
    .option('--data <path>', "the task's data in its official layout, or the folder above it")
    .addOption(number('--seq <n>', "tokens per window of text; default: the model's positions"))
    .addOption(number('--stride <n>', 'causal models: tokens from window to window; default: half a window'))
    .addOption(number('--batch <n>', 'sequences per run').default(16));
  addTaskOptions(addDeviceOptions(command))
    .option('--out <folder>', 'folder for results.json and predictions of a task: for unlabelled files, for SQuAD all')
    .option('--json', 'the results as JSON on stdout');
  command.action((parsed: Parsed) => runEvaluation(parsed, io));
}

type Findings = Record<string, unknown>;

/** @throws ApolloError BAD_CONFIG for options that nothing that is measured uses. */
function checkApplies(parsed: Parsed, isTask: boolean): void {
  const { text, lambada: passages } = parsed;
  const given = (keys: readonly (keyof Parsed)[]) => keys.find((key) => parsed[key] !== undefined);
  const refuse = (key: keyof Parsed, why: string) => {
    throw new ApolloError('BAD_CONFIG', `${flagOf(key)}: ${why}`);
  };
  const ofText = given(['text', 'lambada']);
  if (isTask && ofText)
    refuse(ofText, 'this measures a language model, and --data a fine-tuned model. Measure them in two calls.');
  const ofTask = isTask ? undefined : givenTaskOption({ ...parsed });
  if (ofTask) refuse(ofTask as keyof Parsed, 'this is an option of a task. Add --data, or remove it.');
  const windows = given(['seq', 'stride']);
  if (windows && !text) refuse(windows, 'this is an option of --text. Add --text, or remove it.');
  const reading = given(['tokenizer', ...readOptions]);
  if (reading && !text && passages === undefined)
    refuse(reading, 'this is an option of --text and --lambada. Add one of them, or remove it.');
}

async function runEvaluation(parsed: Parsed, io: CommandIo): Promise<void> {
  const { json = false, out } = parsed;
  const progress = new Progress(io, { quiet: json && !io.stderr.isTTY });
  const lines: string[] = [];
  const isTask = parsed.task !== undefined || parsed.data !== undefined;
  if (!isTask && !parsed.text && parsed.lambada === undefined) {
    throw new ApolloError(
      'BAD_CONFIG',
      'Nothing to measure: give --text FILES, --lambada FILE, or --data FOLDER for a fine-tuned model.',
    );
  }
  checkApplies(parsed, isTask);
  if (out !== undefined) await checkWritable(out, 'The results');
  if (parsed.format !== undefined) checkFormat(parsed.format);
  if (parsed.batch < 1) throw new ApolloError('BAD_CONFIG', `--batch must be at least 1; got ${parsed.batch}.`);
  const findings = await interruptible(
    io,
    () => progress.message('Stopping.'),
    async (signal) => {
      const device = await openDeviceOf(parsed);
      try {
        const warnings: string[] = [];
        const warn = (message: string) => {
          warnings.push(message);
          progress.warn(message);
        };
        const work = { parsed, device, signal, progress, lines, warn };
        const found: Findings = { model: parsed.model, warnings };
        if (isTask) found['task'] = await onTask(work);
        if (parsed.text || parsed.lambada !== undefined) Object.assign(found, await onText(work));
        return found;
      } finally {
        progress.clear();
        await device.close();
      }
    },
  );
  io.stdout.write(json ? `${JSON.stringify(findings)}\n` : `${lines.join('\n')}\n`);
  if (out !== undefined) {
    await writeWholeFile(join(out, 'results.json'), `${JSON.stringify(findings, undefined, 1)}\n`, 'The results');
  }
}

interface Work {
  readonly parsed: Parsed;
  readonly device: Device;
  readonly signal: AbortSignal;
  readonly progress: Progress;
  /** For people. */
  readonly lines: string[];
  /** Prints warnings on stderr and adds them to the results. */
  readonly warn: (message: string) => void;
}

/** A fine-tuned model on its task's labelled splits; predictions of the others where there is a folder for them. */
async function onTask({ parsed, device, signal, progress, lines, warn }: Work): Promise<Findings> {
  const { model, data: folder, out } = parsed;
  if (folder === undefined) throw new ApolloError('BAD_CONFIG', "--task needs --data, the folder of the task's data.");
  const task = configuredTask(parsed.task ?? (await readFineTuned(model)).task, { ...parsed });
  const wanted = out === undefined ? (['evaluations'] as const) : (['evaluations', 'tests'] as const);
  const data = await task.read(folder, wanted);
  for (const note of data.notes) progress.message(note);
  const { metrics, remarks, predictions, warnings } = await evaluateTask({
    device,
    folder: model,
    task,
    data,
    batch: parsed.batch,
    precision: precisionOf(parsed),
    signal,
    onProgress: (split, done) => progress.update({ label: `${task.title}, ${split}`, done }),
  });
  for (const warning of warnings) warn(warning);
  if (data.evaluations.length > 0) lines.push(`${task.title}: ${describeScores(metrics)}`);
  for (const [split, remark] of Object.entries(remarks)) lines.push(`${split}: ${remark}`);
  if (out !== undefined && predictions.length > 0) {
    for (const { name, text } of predictions) {
      await writeWholeFile(join(out, name), text, 'The predictions');
    }
    lines.push(`predictions: ${predictions.map(({ name }) => join(out, name)).join(', ')}`);
  }
  return {
    name: task.name,
    metrics,
    remarks,
    predictions: out === undefined ? [] : predictions.map(({ name }) => name),
  };
}

async function onText({ parsed, device, signal, progress, lines, warn }: Work): Promise<Findings> {
  const { model: path, text, lambada: passages, seq, stride, batch } = parsed;
  const { format, field, header, quotes, decodeEntities } = parsed;
  const reading: ReadOptions = { format, field, header, quotes, decodeEntities };
  if (isFineTuned(path)) {
    throw new ApolloError(
      'BAD_CONFIG',
      `${path} holds a fine-tuned model, which has no language-model head. --text and --lambada require the model that it was made from.`,
    );
  }
  const loaded = await loadModel(device, path, { precision: precisionOf(parsed) });
  try {
    for (const warning of loaded.warnings) warn(warning);
    const tokenizer = tokenizerFor(loaded, parsed.tokenizer);
    const found: Findings = {};
    if (text) checkWindow(loaded.config, { seq, stride });
    if (text && objectiveOf(loaded.config) === 'masked') mlmIds(tokenizer);
    if (passages !== undefined) checkLambada(loaded.config);
    checkReading([...(text ?? []), ...(passages === undefined ? [] : [passages])], reading);
    const list = passages === undefined ? undefined : await readPassages(passages, reading);
    if (text) {
      const onNote = (note: string) => progress.message(note);
      const tokens = await readTokens(text, tokenizer, { ...reading, signal, onNote });
      for (const warning of tokens.warnings ?? []) warn(warning);
      const onProgress = (done: number) => progress.update({ label: 'text', done });
      const result = await textLoss(device, loaded, tokenizer, tokens, { batch, seq, stride, signal, onProgress });
      const bits = result.bitsPerByte === undefined ? '' : `, ${result.bitsPerByte.toFixed(4)} bits per byte`;
      lines.push(
        `text: loss ${result.loss.toFixed(4)} per ${result.of}, perplexity ${result.perplexity.toFixed(2)}${bits} ` +
          `(${formatCount(result.tokens)} tokens of ${formatCount(tokens.ids.length)})`,
      );
      found['text'] = { ...result, textTokens: tokens.ids.length, bytes: tokens.bytes, documents: tokens.documents };
    }
    if (list) {
      const onProgress = (done: number) => progress.update({ label: 'LAMBADA', done });
      const result = await lambada(device, loaded, tokenizer, list, { batch, signal, onProgress });
      lines.push(
        `LAMBADA: accuracy ${(100 * result.accuracy).toFixed(2)} %, perplexity of the last word ` +
          `${result.perplexity.toFixed(2)} (${result.passages} passages)`,
      );
      found['lambada'] = result;
    }
    return found;
  } finally {
    loaded.dispose();
  }
}

function tokenizerFor({ tokenizer, config }: LoadedModel, path: string | undefined): Tokenizer {
  const found = path === undefined && tokenizer ? tokenizer : tokenizerOf({ tokenizerPath: undefined }, path);
  checkVocabulary(found, config.vocabSize);
  return found;
}
