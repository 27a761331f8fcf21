/** MRPC (Dolan and Brockett 2005): do two sentences of the news say the same? */
import { equivalence } from './senses.js';
import { glueTask } from './task.js';

const pair = { a: '#1 String', b: '#2 String' };
const labelled = { ...pair, label: 'Quality' };

export const mrpc = glueTask({
  name: 'mrpc',
  title: 'MRPC',
  folder: 'MRPC',
  labels: ['0', '1'],
  classes: { names: equivalence, numbers: [0, 1] },
  metrics: ['f1', 'accuracy'],
  train: { file: 'train', columns: labelled },
  evaluations: [{ name: 'dev', file: 'dev', columns: labelled }],
  tests: [{ name: 'test', file: 'test', columns: { ...pair, index: 'index' }, submission: 'MRPC' }],
});
