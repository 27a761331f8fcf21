/** STS-B (Cer et al. 2017): how alike are two sentences, from 0 to 5? */
import { glueTask } from './task.js';

const pair = { a: 'sentence1', b: 'sentence2' };
const labelled = { ...pair, label: 'score' };

export const stsb = glueTask({
  name: 'stsb',
  title: 'STS-B',
  folder: 'STS-B',
  labels: { least: 0, greatest: 5 },
  metrics: ['pearson', 'spearman'],
  train: { file: 'train', columns: labelled },
  evaluations: [{ name: 'dev', file: 'dev', columns: labelled }],
  tests: [{ name: 'test', file: 'test', columns: { ...pair, index: 'index' }, submission: 'STS-B' }],
});
