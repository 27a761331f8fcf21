/** `apollo-lm fill`: what a trained BERT takes for the masked words of a text. */
import type { Command } from 'commander';
import { type FilledMask, fillMask } from '../../eval/generate/fill.js';
import { formatPercent } from '../../report/format.js';
import { interruptible } from '../interrupt.js';
import type { CommandIo } from '../io.js';
import { whole } from '../settings/options.js';
import { addModelOptions, type ModelFlags, textOf, withTrained } from '../trained.js';

interface FillFlags extends ModelFlags {
  readonly topK?: number;
}

export function fillCommand(program: Command, io: CommandIo): void {
  const command = program
    .command('fill')
    .description('fill in the masked words of a text with a trained BERT')
    .argument('[text]', 'a text that contains [MASK]; default: standard input');
  addModelOptions(command)
    .option('--top-k <k>', 'candidates per mask (default: 5)', whole)
    .action(async (given: string | undefined, flags: FillFlags) => {
      const masks = await interruptible(
        io,
        () => undefined,
        async (signal) => {
          const text = (await textOf(given, io, 'a text with [MASK]')).trim();
          const options = { ...(flags.topK !== undefined && { topK: flags.topK }), signal };
          return withTrained(flags, io, (loaded) => fillMask(loaded, text, options));
        },
      );
      if (flags.json) for (const mask of masks) io.stdout.write(`${JSON.stringify({ type: 'mask', ...mask })}\n`);
      else io.stdout.write(masks.map((mask) => table(mask, masks.length)).join('\n'));
    });
}

function table({ mask, candidates }: FilledMask, masks: number): string {
  const head = masks > 1 ? [`mask ${mask + 1} of ${masks}`] : [];
  const width = Math.max(...candidates.map(({ text }) => text.length));
  const lines = candidates.map(
    ({ text, probability, sentence }) =>
      `${formatPercent(probability).padStart(7)}  ${text.padEnd(width)}  ${sentence}`,
  );
  return `${[...head, ...lines].join('\n')}\n`;
}
