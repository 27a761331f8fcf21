/** MNLI (Williams et al. 2018): does the first sentence entail the second? Measured on texts of the same and of other sources. */
import { inference } from './senses.js';
import { glueTask } from './task.js';

const pair = { a: 'sentence1', b: 'sentence2' };
const labelled = { ...pair, label: 'gold_label' };
const unlabelled = { ...pair, index: 'index' };

export const mnli = glueTask({
  name: 'mnli',
  title: 'MNLI',
  folder: 'MNLI',
  labels: ['contradiction', 'entailment', 'neutral'],
  classes: { names: [inference.contradiction, inference.entailment, inference.neutral], numbers: [2, 0, 1] },
  metrics: ['accuracy'],
  train: { file: 'train', columns: labelled },
  evaluations: [
    { name: 'matched', file: 'dev_matched', columns: labelled },
    { name: 'mismatched', file: 'dev_mismatched', columns: labelled, optional: true },
  ],
  tests: [
    { name: 'test matched', file: 'test_matched', columns: unlabelled, submission: 'MNLI-m' },
    { name: 'test mismatched', file: 'test_mismatched', columns: unlabelled, submission: 'MNLI-mm', optional: true },
  ],
});
