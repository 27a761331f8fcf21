/** RTE (Dagan et al. 2006 and later rounds): does the first text entail the second? */
import { twoWayInference } from './senses.js';
import { glueTask } from './task.js';

const pair = { a: 'sentence1', b: 'sentence2' };
const labelled = { ...pair, label: 'label' };

export const rte = glueTask({
  name: 'rte',
  title: 'RTE',
  folder: 'RTE',
  labels: ['entailment', 'not_entailment'],
  classes: { names: twoWayInference, numbers: [0, 1] },
  metrics: ['accuracy'],
  train: { file: 'train', columns: labelled },
  evaluations: [{ name: 'dev', file: 'dev', columns: labelled }],
  tests: [{ name: 'test', file: 'test', columns: { ...pair, index: 'index' }, submission: 'RTE' }],
});
