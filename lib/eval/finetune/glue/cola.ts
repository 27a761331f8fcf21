/** CoLA (Warstadt et al. 2019): is a sentence acceptable English? Train and dev have no header. */
import { acceptability } from './senses.js';
import { glueTask } from './task.js';

const labelled = { a: 3, label: 1 };

export const cola = glueTask({
  name: 'cola',
  title: 'CoLA',
  folder: 'CoLA',
  labels: ['0', '1'],
  classes: { names: acceptability, numbers: [0, 1] },
  metrics: ['matthews', 'accuracy'],
  train: { file: 'train', columns: labelled },
  evaluations: [{ name: 'dev', file: 'dev', columns: labelled }],
  tests: [{ name: 'test', file: 'test', columns: { index: 'index', a: 'sentence' }, submission: 'CoLA' }],
});
