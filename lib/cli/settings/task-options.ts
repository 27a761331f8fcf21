/** Settings of tasks, as options of the commands that run them. */
import { type Command, Option } from 'commander';
import { ApolloError } from '../../errors.js';
import { type FineTuneTask, taskByName, taskNames } from '../../eval/index.js';
import { amount, whole } from './options.js';
import { flagOf } from './schema.js';

/** Each setting once, with the names of the tasks that have it. */
function allSettings() {
  const tasks = taskNames.map(taskByName);
  const settings = new Map(tasks.flatMap((task) => (task.settings ?? []).map((setting) => [setting.name, setting])));
  const owners = (name: string): string =>
    tasks
      .filter((task) => task.settings?.some((setting) => setting.name === name))
      .map((task) => task.name)
      .join(', ');
  return [...settings.values()].map((setting) => ({ ...setting, owners: owners(setting.name) }));
}

export function addTaskOptions(command: Command): Command {
  for (const { name, kind, about, owners } of allSettings()) {
    const option = new Option(`${flagOf(name)} <${kind === 'path' ? 'file' : 'n'}>`, `${owners}: ${about}`);
    command.addOption(kind === 'path' ? option : option.argParser(kind === 'count' ? whole : amount));
  }
  return command;
}

/** An option of a task that is given. */
export function givenTaskOption(parsed: Readonly<Record<string, unknown>>): string | undefined {
  return allSettings().find(({ name }) => parsed[name] !== undefined)?.name;
}

/**
 * The task called `name` with what the command line sets of it.
 * @throws ApolloError BAD_CONFIG for an unknown task, a setting of another one, and a count below 1.
 */
export function configuredTask(name: string, parsed: Readonly<Record<string, unknown>>): FineTuneTask {
  const task = taskByName(name);
  const given = allSettings().filter((setting) => parsed[setting.name] !== undefined);
  for (const { name: setting, kind, owners } of given) {
    if (!task.settings?.some((own) => own.name === setting)) {
      throw new ApolloError('BAD_CONFIG', `${flagOf(setting)} is of ${owners}; ${task.title} has no such setting.`);
    }
    const value = parsed[setting];
    if (kind === 'count' && (value as number) < 1) {
      throw new ApolloError('BAD_CONFIG', `${flagOf(setting)} must be at least 1; got ${String(value)}.`);
    }
  }
  if (given.length === 0) return task;
  return task.configured?.(Object.fromEntries(given.map((setting) => [setting.name, parsed[setting.name]]))) ?? task;
}
