/** Shared code of `finetune` and `evaluate`: a model's tokenizer, and how fine-tuning is reported. */
import { join } from 'node:path';
import { loadTokenizer, type Tokenizer } from '../../data/index.js';
import { ApolloError } from '../../errors.js';
import type { BodySource, FineTuneEvent, FineTuneTask, Metrics, SeedRecord, TaskData } from '../../eval/index.js';
import { writeWholeFile } from '../../fs/whole-file.js';
import { type FineTuneResults, fineTuneChart, fineTuneRows, writeFineTuneResults } from '../../report/finetune.js';
import { formatDuration } from '../../report/format.js';
import { renderSvg } from '../../report/svg.js';
import { markdownTable } from '../../report/table.js';
import type { ModelFolder } from '../../train/index.js';

/** Initial weights, and the folder of their runs. */
export interface Variant {
  readonly name: string;
  readonly folder: string;
  readonly source: BodySource;
}

/** The tokenizer named, or the one next to a model. @throws ApolloError BAD_TOKENIZER when there is none. */
export function tokenizerOf(folder: Pick<ModelFolder, 'tokenizerPath'>, path: string | undefined): Tokenizer {
  const found = path ?? folder.tokenizerPath;
  if (found !== undefined) return loadTokenizer(found);
  throw new ApolloError(
    'BAD_TOKENIZER',
    'There is no tokenizer beside the model. Put its tokenizer.json there, or name it with --tokenizer.',
  );
}

/** @throws ApolloError BAD_CONFIG for a number of training examples below 1. */
export function checkExamples(count = 1): void {
  if (count < 1) throw new ApolloError('BAD_CONFIG', `--examples must be at least 1; got ${count}.`);
}

/** The data with `count` training examples, spread evenly over those there are. */
export function thinned<Example>(data: TaskData<Example>, count = data.train.length): TaskData<Example> {
  const { train } = data;
  if (count >= train.length) return data;
  const kept = Array.from({ length: count }, (_, i) => train[Math.floor((i * train.length) / count)] as Example);
  return { ...data, train: kept };
}

/** The line that an event prints; undefined for events that only move the bar. */
export function describeEvent(event: FineTuneEvent): string | undefined {
  if (event.type === 'start' && event.stepsDone > 0)
    return `seed ${event.seed}: resumed at step ${event.stepsDone} of ${event.steps}`;
  if (event.type === 'warning') return `warning: seed ${event.seed}: ${event.message}`;
  if (event.type !== 'epoch') return undefined;
  const { seed, epoch, loss, metrics, isBest, trainMs } = event;
  return `seed ${seed}, epoch ${epoch}: training loss ${loss.toFixed(4)}, ${describeScores(metrics)}${isBest ? ', best so far' : ''}, ${formatDuration(trainMs)}`;
}

/** "dev matthews 41.2, accuracy 75.0". */
export function describeScores(metrics: Readonly<Record<string, Metrics>>): string {
  return Object.entries(metrics)
    .map(([split, scores]) => {
      const list = Object.entries(scores).map(
        ([metric, value]) => `${metric} ${Number.isFinite(value) ? (100 * value).toFixed(1) : 'not defined'}`,
      );
      return `${split} ${list.join(', ')}`;
    })
    .join('; ');
}

export interface FineTuneParts {
  readonly task: FineTuneTask;
  readonly data: TaskData<unknown>;
  readonly settings: Readonly<Record<string, string | number>>;
  /** Warnings about the model, one sentence each. */
  readonly warnings: readonly string[];
  readonly variants: readonly Variant[];
  readonly records: ReadonlyMap<string, readonly SeedRecord[]>;
  readonly wanted: readonly string[];
}

/** Results of the finished seeds, with the baselines that are `wanted`. */
export function resultsOf({
  task,
  data,
  settings,
  warnings,
  variants,
  records,
  wanted,
}: FineTuneParts): FineTuneResults {
  const found = new Map<string, Record<string, Metrics>>();
  if (wanted.includes('majority') && !wanted.includes('none')) {
    for (const { name, examples } of data.evaluations) {
      const baseline = task.baseline?.(data.train, examples);
      if (baseline) found.set(baseline.name, { ...found.get(baseline.name), [name]: baseline.metrics });
    }
  }
  return {
    format: 'apollo-lm/finetune/1',
    created: new Date().toISOString(),
    task: task.name,
    title: task.title,
    metrics: task.metrics,
    splits: data.evaluations.map(({ name }) => name),
    settings,
    ...(warnings.length > 0 && { warnings }),
    variants: variants.map(({ name }) => ({ name, seeds: records.get(name) ?? [] })),
    baselines: [...found].map(([name, metrics]) => ({ name, metrics })),
  };
}

/** results.json, table.md and scores.svg in the run's folder. */
export async function writeReport(folder: string, results: FineTuneResults): Promise<void> {
  const head = `${results.title}, scores x 100: best epoch of each seed, mean ± standard deviation\n\n`;
  await Promise.all([
    writeFineTuneResults(join(folder, 'results.json'), results),
    writeWholeFile(join(folder, 'table.md'), `${head}${markdownTable(fineTuneRows(results))}\n`, 'The table'),
    renderSvg(fineTuneChart(results)).then((svg) => writeWholeFile(join(folder, 'scores.svg'), svg, 'The chart')),
  ]);
}
