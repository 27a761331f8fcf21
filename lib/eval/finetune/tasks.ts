/** The tasks that models are fine-tuned on, by name. */
import { ApolloError } from '../../errors.js';
import * as is from '../../is.js';
import { unknownName } from '../../suggest.js';
import { cola } from './glue/cola.js';
import { mnli } from './glue/mnli.js';
import { mrpc } from './glue/mrpc.js';
import { qnli } from './glue/qnli.js';
import { qqp } from './glue/qqp.js';
import { rte } from './glue/rte.js';
import { sst2 } from './glue/sst2.js';
import { stsb } from './glue/stsb.js';
import { squad, squad2 } from './squad/task.js';
import type { FineTuneTask } from './task.js';

const tasks = [cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, squad, squad2] as readonly FineTuneTask[];

/**
 * The tasks by the names that `--task` takes.
 * @example
 * taskNames.includes('squad2')
 */
export const taskNames: readonly string[] = tasks.map(({ name }) => name);

const takesTaskByName = is.takes('taskByName', { name: is.string });

/**
 * The task called `name`, as on the command line or as in papers. @throws ApolloError BAD_CONFIG for one that is unknown.
 * @example
 * const task = taskByName('sst2');
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function taskByName(name: string): FineTuneTask {
  takesTaskByName(name);

  const plain = (text: string) => text.toLowerCase().replace(/[^a-z0-9]/g, '');
  const task = tasks.find((each) => plain(each.name) === plain(name));
  if (task) return task;
  throw new ApolloError('BAD_CONFIG', `There is no task ${unknownName(name, taskNames)}`);
}
