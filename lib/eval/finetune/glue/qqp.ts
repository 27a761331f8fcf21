/** QQP (Iyer et al. 2017): do two questions ask the same? Some lines of the official files are cut short. */
import { duplication } from './senses.js';
import { glueTask } from './task.js';

const pair = { a: 'question1', b: 'question2' };
const labelled = { ...pair, label: 'is_duplicate' };

export const qqp = glueTask({
  name: 'qqp',
  title: 'QQP',
  folder: 'QQP',
  labels: ['0', '1'],
  classes: { names: duplication, numbers: [0, 1] },
  metrics: ['f1', 'accuracy'],
  train: { file: 'train', columns: labelled },
  evaluations: [{ name: 'dev', file: 'dev', columns: labelled }],
  tests: [{ name: 'test', file: 'test', columns: { ...pair, index: 'id' }, submission: 'QQP' }],
  skipIncomplete: true,
});
