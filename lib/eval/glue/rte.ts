/** RTE (Dagan et al. 2006 and later rounds): does the first text entail the second? */
import { glueTask } from './task.js';

const pair = { a: 'sentence1', b: 'sentence2' };
const labelled = { ...pair, label: 'label' };

export const rte = glueTask({
  name: 'rte',
  title: 'RTE',
  folder: 'RTE',
  labels: ['entailment', 'not_entailment'],
  metrics: ['accuracy'],
  train: { file: 'train', columns: labelled },
  evaluations: [{ name: 'dev', file: 'dev', columns: labelled }],
  tests: [{ name: 'test', file: 'test', columns: { ...pair, index: 'index' }, submission: 'RTE' }],
});
