/** The command line as a function: parses, runs, turns errors into one message and an exit code. */
import { Command, CommanderError } from 'commander';
import { ApolloError } from '../errors.js';
import { fileError, inWords, isSystemError } from '../fs/error.js';
import { packageVersion } from '../package-folder.js';
import { renamedFlagText } from '../renamed.js';
import { annealCommand } from './commands/anneal.js';
import { buildCommand } from './commands/build.js';
import { compareCommand } from './commands/compare.js';
import { doctorCommand } from './commands/doctor.js';
import { evaluateCommand } from './commands/evaluate.js';
import { exportCommand } from './commands/export.js';
import { fillCommand } from './commands/fill.js';
import { finetuneCommand } from './commands/finetune.js';
import { generateCommand } from './commands/generate.js';
import { planCommand } from './commands/plan.js';
import { prepareCommand } from './commands/prepare.js';
import { reportCommand } from './commands/report.js';
import { trainCommand } from './commands/train.js';
import { closedExitCode, interruptedExitCode } from './interrupt.js';
import { type CommandIo, processIo } from './io.js';
import { isClosed } from './output.js';
import { checkRanks, parserOutput, tellOnce } from './ranks.js';
import { loadModules, type ModuleSources } from './settings/modules.js';
import { flagOf } from './settings/schema.js';

/**
 * Runs `apollo-lm` with the arguments after its name; resolves to the exit code. An ApolloError is the user's: one
 * message and 1, and so is an error of the file system. Any other error is a defect of the package and is reported as one. APOLLO_DEBUG=1 adds stacks.
 */
export async function run(args: readonly string[], io: CommandIo = processIo()): Promise<number> {
  let exitCode = 0;
  const finish = (code: number) => {
    exitCode = code;
  };
  const output = parserOutput(io);
  const program = new Command('apollo-lm')
    .description('Pre-train BERT, GPT and Llama language models for fewer FLOPs, by growing them while they train.')
    .version(packageVersion())
    .showHelpAfterError('(--help lists the options)')
    .configureHelp({ helpWidth: Math.min(120, io.stdout.columns ?? 100) })
    .configureOutput(output)
    .exitOverride()
    .hook('preAction', async (_, command) => {
      checkGiven(command);
      await checkRanks(command.name(), io.env);
      await loadModules(modulesOf(command));
    });
  trainCommand(program, io, finish);
  annealCommand(program, io, finish);
  compareCommand(program, io, finish);
  finetuneCommand(program, io, finish);
  evaluateCommand(program, io);
  generateCommand(program, io, finish);
  fillCommand(program, io);
  prepareCommand(program, io, finish);
  exportCommand(program, io);
  reportCommand(program, io);
  planCommand(program, io);
  doctorCommand(program, io, finish);
  buildCommand(program, finish);
  try {
    checkNames(args);
    await program.parseAsync(args, { from: 'user' });
    return await withOutput(exitCode, io);
  } catch (error) {
    if (error instanceof CommanderError) {
      await output.end();
      return await withOutput(error.exitCode, io);
    }
    return tellOnce(error, io, (who) => report(error, io, who));
  }
}

/** @throws ApolloError BAD_CONFIG for an option that has another name now. */
function checkNames(args: readonly string[]): void {
  const now = args.map((argument) => renamedFlagText(argument, flagOf)).find((text) => text !== undefined);
  if (now) throw new ApolloError('BAD_CONFIG', `${now}.`);
}

/**
 * An empty value is a shell variable that is not set (--data "$DATA"). Only text for a model may be empty.
 * @throws ApolloError BAD_CONFIG naming the option or the argument.
 */
function checkGiven(command: Command): void {
  const given = [
    ...command.options.map((option) => ({
      flags: option.flags,
      value: command.getOptionValue(option.attributeName()),
    })),
    ...command.registeredArguments.map((argument, i) => ({ flags: `<${argument.name()}>`, value: command.args[i] })),
  ];
  for (const { flags, value } of given) {
    if (/<text\b/.test(flags) || ![value].flat().includes('')) continue;
    throw new ApolloError('BAD_CONFIG', `${flags.replace(/ .*/, '')}: expected a value; got an empty one ("")`);
  }
}

/** Where a command's settings name modules: its options, its file of settings, the folder of a run that it continues. */
function modulesOf(command: Command): ModuleSources {
  const flags: Record<string, unknown> = command.opts();
  const { config, resume, out } = flags;
  const run = command.name() === 'anneal' ? command.args[0] : resume === true ? out : undefined;
  return {
    flags,
    ...(typeof config === 'string' && { config }),
    ...(typeof run === 'string' && { run }),
  };
}

/**
 * The exit code after output that may be lost. A reader that has closed the pipe (`| head -1`) had enough: no error. A full disk
 * or any other one is.
 */
async function withOutput(exitCode: number, io: CommandIo): Promise<number> {
  await io.stdout.flush?.();
  if (io.stdout.lost === undefined || isClosed(io.stdout)) return exitCode;
  io.stderr.write(`apollo-lm: The output cannot be written to stdout: ${inWords(io.stdout.lost)}.\n`);
  return exitCode === 0 ? 1 : exitCode;
}

/** `who`: the rank that failed, as the start of a message. */
function report(thrown: unknown, io: CommandIo, who: string): number {
  const error = isSystemError(thrown) ? fileError(thrown, 'A file', thrown.path ?? 'unnamed', 'be used') : thrown;
  const known = error instanceof ApolloError;
  if (known && error.code === 'ABORT_ERR') {
    if (isClosed(io.stdout)) return closedExitCode;
    io.stderr.write(`${who}Stopped.\n`);
    return interruptedExitCode;
  }
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  io.stderr.write(`apollo-lm: ${who}${message}\n`);
  if (io.env['APOLLO_DEBUG'] === '1') io.stderr.write(`${stack}\n`);
  else if (!known) io.stderr.write('This is a defect of apollo-lm. APOLLO_DEBUG=1 shows where it happened.\n');
  return 1;
}
