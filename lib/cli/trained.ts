/** Shared code of commands that use a trained model: their options, and the model on its device. */
import type { Command } from 'commander';
import { ApolloError } from '../errors.js';
import { type LoadedModel, loadModel } from '../train/checkpoint/load-model.js';
import { openDeviceOf, precisionOf } from './device.js';
import type { CommandIo } from './io.js';
import { addDeviceOptions, type DeviceFlags } from './settings/options.js';

/** Values of the options that `addModelOptions` adds. */
export interface ModelFlags extends DeviceFlags {
  readonly model: string;
  readonly json?: boolean;
}

export function addModelOptions(command: Command): Command {
  command.requiredOption('--model <folder>', "a run's folder, a checkpoint, or a Hugging Face folder");
  return addDeviceOptions(command).option('--json', 'machine-readable lines on stdout');
}

/** Opens device and model, prints the warnings about the model's folder, and closes both when `work` is done. */
export async function withTrained<Result>(
  flags: ModelFlags,
  io: CommandIo,
  work: (loaded: LoadedModel) => Promise<Result>,
): Promise<Result> {
  const { model: folder, json = false } = flags;
  const device = await openDeviceOf(flags);
  try {
    const loaded = await loadModel(device, folder, { precision: precisionOf(flags) });
    try {
      for (const message of loaded.warnings) {
        io.stderr.write(`warning: ${message}\n`);
        if (json) io.stdout.write(`${JSON.stringify({ type: 'warning', message })}\n`);
      }
      return await work(loaded);
    } finally {
      loaded.dispose();
    }
  } finally {
    await device.close();
  }
}

/** The text given on the command line, or all of what is piped in. @throws ApolloError BAD_ARGUMENT: neither, or no UTF-8. */
export async function textOf(given: string | undefined, { stdin }: CommandIo, what: string): Promise<string> {
  if (given !== undefined) return given;
  if (!stdin || stdin.isTTY) throw new ApolloError('BAD_ARGUMENT', `There is no text: give ${what}, or pipe one in.`);
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let text = '';
  try {
    for await (const chunk of stdin)
      text += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    return text + decoder.decode();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new ApolloError('BAD_ARGUMENT', 'Standard input is not UTF-8 text. Convert it, for example with iconv.', {
      cause: error,
    });
  }
}
