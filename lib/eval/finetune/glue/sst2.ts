/** SST-2 (Socher et al. 2013): is a phrase or sentence of a film review positive? */
import { sentiment } from './senses.js';
import { glueTask } from './task.js';

const labelled = { a: 'sentence', label: 'label' };

export const sst2 = glueTask({
  name: 'sst2',
  title: 'SST-2',
  folder: 'SST-2',
  labels: ['0', '1'],
  classes: { names: sentiment, numbers: [0, 1] },
  metrics: ['accuracy'],
  train: { file: 'train', columns: labelled },
  evaluations: [{ name: 'dev', file: 'dev', columns: labelled }],
  tests: [{ name: 'test', file: 'test', columns: { index: 'index', a: 'sentence' }, submission: 'SST-2' }],
});
