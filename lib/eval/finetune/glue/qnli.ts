/** QNLI (from SQuAD, Rajpurkar et al. 2016): does a sentence hold the answer to a question? */
import { answering } from './senses.js';
import { glueTask } from './task.js';

const pair = { a: 'question', b: 'sentence' };
const labelled = { ...pair, label: 'label' };

export const qnli = glueTask({
  name: 'qnli',
  title: 'QNLI',
  folder: 'QNLI',
  labels: ['entailment', 'not_entailment'],
  classes: { names: answering, numbers: [0, 1] },
  metrics: ['accuracy'],
  train: { file: 'train', columns: labelled },
  evaluations: [{ name: 'dev', file: 'dev', columns: labelled }],
  tests: [{ name: 'test', file: 'test', columns: { ...pair, index: 'index' }, submission: 'QNLI' }],
});
