/** `apollo-lm generate`: the continuation of a text by a trained causal model, as it comes. */
import type { Command } from 'commander';
import { ApolloError } from '../../errors.js';
import { type GenerateOptions, generate } from '../../eval/generate/generate.js';
import type { LoadedModel } from '../../train/checkpoint/load-model.js';
import { interruptedExitCode, interruptible } from '../interrupt.js';
import type { CommandIo } from '../io.js';
import { isClosed } from '../output.js';
import { amount, whole } from '../settings/options.js';
import { addModelOptions, type ModelFlags, textOf, withTrained } from '../trained.js';

interface GenerateFlags extends ModelFlags, Omit<GenerateOptions, 'signal' | 'eos'> {
  readonly prompt?: string;
  /** `--no-eos` makes it false. */
  readonly eos: boolean;
}

export function generateCommand(program: Command, io: CommandIo, finish: (exitCode: number) => void): void {
  const command = program.command('generate').description('generate text with a trained GPT or Llama');
  addModelOptions(command)
    .option('--prompt <text>', 'start of the text; default: standard input')
    .option('--max-tokens <n>', 'tokens to generate (default: 128)', whole)
    .option('--temperature <t>', 'below 1: likely tokens become more likely; 0: same as --greedy (default: 1)', amount)
    .option('--top-k <k>', 'sample only from the k most likely tokens', whole)
    .option('--top-p <p>', 'sample from the most likely tokens that together reach this probability', amount)
    .option('--repetition-penalty <f>', 'above 1: tokens that occurred before become less likely', amount)
    .option('--greedy', 'always choose the most likely token, same as --temperature 0')
    .option('--stop <text...>', 'stop before this text')
    .option('--no-eos', "continue after the tokenizer's end of text")
    .option('--seed <n>', 'the same seed gives the same text (default: 0)', whole)
    .option('--samples <n>', 'number of texts, generated together (default: 1)', whole)
    .action(async (flags: GenerateFlags) => {
      const stopped = await interruptible(
        io,
        () => undefined,
        async (signal) => {
          const prompt = await textOf(flags.prompt, io, '--prompt');
          return withTrained(flags, io, (loaded) => write(loaded, prompt, flags, signal, io));
        },
      );
      if (stopped && !isClosed(io.stdout)) finish(interruptedExitCode);
    });
}

/** Writes the text and, at the end, how fast it came; whether Ctrl-C stopped it. */
async function write(
  loaded: LoadedModel,
  prompt: string,
  flags: GenerateFlags,
  signal: AbortSignal,
  io: CommandIo,
): Promise<boolean> {
  const { json = false, samples = 1, eos, prompt: _prompt, model: _model, device: _device, ...others } = flags;
  const { precision: _precision, tf32: _tf32, threads: _threads, import: _import, ...settings } = others;
  const options = { ...settings, samples, signal, ...(!eos && { eos: null }) };
  const texts: string[] = [];
  // Several samples come at once: each is written whole, when it has ended.
  const streams = !json && samples === 1;
  let count = 0;
  const started = io.now();
  let first = started;
  let stopped = false;
  try {
    for await (const event of generate(loaded, prompt, options)) {
      if (count++ === 0) {
        first = io.now();
        if (streams) io.stdout.write(prompt);
      }
      const { sample, text, finish } = event;
      texts[sample] = (texts[sample] ?? prompt) + text;
      if (json) io.stdout.write(`${JSON.stringify({ type: 'token', ...event })}\n`);
      if (streams) io.stdout.write(text);
      if (!finish) continue;
      if (json) io.stdout.write(`${JSON.stringify({ type: 'text', sample, finish, text: texts[sample] })}\n`);
      else io.stdout.write(streams ? '\n' : `--- sample ${sample + 1} of ${samples}\n${texts[sample]}\n`);
    }
  } catch (error) {
    if (!(error instanceof ApolloError && error.code === 'ABORT_ERR')) throw error;
    stopped = true;
    if (streams && count > 0) io.stdout.write('\n');
  }
  if (isClosed(io.stdout)) return stopped; // the reader has closed the pipe: nothing more is printed
  const later = (count - samples) / ((io.now() - first) / 1e3);
  const rate = count > samples ? `, then ${later.toFixed(1)} tokens/s` : '';
  io.stderr.write(
    `${stopped ? 'Stopped. ' : ''}${count} tokens; the first after ${(first - started).toFixed(0)} ms${rate}\n`,
  );
  return stopped;
}
