/** `apollo-lm export`: a trained model as a folder that Hugging Face's libraries load. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { ApolloError } from '../../errors.js';
import { exportFineTuned, isFineTuned } from '../../eval/index.js';
import { type ExportDtype, exportDtypes } from '../../interop/hugging-face-writer.js';
import { formatBytes } from '../../report/format.js';
import { type ExportedModel, exportModel } from '../../train/checkpoint/export-model.js';
import { interruptible } from '../interrupt.js';
import type { CommandIo } from '../io.js';
import { addOptions } from '../settings/options.js';
import { Progress } from '../watch/progress.js';

interface ExportFlags {
  readonly out: string;
  readonly depth: 'full' | 'stored';
  readonly dtype: ExportDtype;
  readonly shardSize: number;
  readonly tokenizer?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

const units: Readonly<Record<string, number>> = {
  '': 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
};

/** "500MB", "2GiB" or bytes. */
export function parseSize(text: string): number {
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?)\s*([KMG]i?B)?$/i.exec(text.trim()) ?? [];
  const bytes = Math.floor(Number(digits) * (units[unit.toUpperCase()] ?? Number.NaN));
  if (!(bytes > 0)) throw new InvalidArgumentError('It must be a size, such as 500MB or 2GB.');
  return bytes;
}

export function exportCommand(program: Command, io: CommandIo): void {
  addOptions(program.command('export'), ['import'])
    .description('write a trained model as a Hugging Face folder: config.json, safetensors, tokenizer')
    .argument('<run>', 'folder of a run, its checkpoints, one checkpoint, a fine-tuned model, or a Hugging Face folder')
    .requiredOption('--out <folder>', 'folder to write')
    .addOption(
      new Option('--depth <depth>', 'for a model that was still growing: the finished depth, or only the layers it has')
        .choices(['full', 'stored'])
        .default('full'),
    )
    .addOption(new Option('--dtype <dtype>', 'type of the stored weights').choices(exportDtypes).default('f32'))
    .addOption(new Option('--shard-size <size>', 'largest file of weights').argParser(parseSize).default(5e9, '5GB'))
    .option('--tokenizer <path>', 'tokenizer file or folder; default: the tokenizer of the run')
    .option('--force', 'replace an exported model in --out')
    .option('--json', 'machine-readable output')
    .action(async (run: string, flags: ExportFlags) => {
      const { out, depth, dtype, shardSize, tokenizer, force = false, json = false } = flags;
      const tuned = isFineTuned(run);
      if (tuned && (depth === 'stored' || tokenizer !== undefined)) {
        throw new ApolloError(
          'BAD_CONFIG',
          `${run} holds a fine-tuned model, which has its full depth and its own tokenizer. Remove --depth and --tokenizer.`,
        );
      }
      const progress = new Progress(io, { quiet: json && !io.stderr.isTTY });
      const exported = await interruptible(
        io,
        () => progress.message('Stopping: nothing will be left behind.'),
        (signal) => {
          const onProgress = (done: number) => progress.update({ label: 'export', done });
          const writing = { dtype, shardBytes: shardSize, force, signal, onProgress };
          return tuned ? exportFineTuned(run, out, writing) : exportModel(run, out, { ...writing, depth, tokenizer });
        },
      ).finally(() => progress.clear());
      for (const warning of exported.warnings) progress.warn(warning);
      if (json) io.stdout.write(`${JSON.stringify({ type: 'export', ...exported })}\n`);
      else io.stdout.write(describeExport(exported, dtype));
    });
}

/** Summary of the files written, and how to load them in Python. */
function describeExport({ folder, config, autoClass, stored, files }: ExportedModel, dtype: ExportDtype): string {
  const { kind, layers, hidden, vocabSize } = config;
  const grown = stored === layers ? '' : ` (from ${stored} that were trained so far)`;
  const width = Math.max(...files.map(({ name }) => name.length));
  return [
    `${folder}: ${kind}, ${layers} layers${grown} x ${hidden}, vocabulary ${vocabSize}, ${dtype}`,
    ...files.map(({ name, bytes }) => `  ${name.padEnd(width)}  ${formatBytes(bytes)}`),
    `In Python: transformers.${autoClass}.from_pretrained(${JSON.stringify(folder)})`,
    '',
  ].join('\n');
}
