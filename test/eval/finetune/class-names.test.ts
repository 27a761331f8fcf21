/** Rows of classifiers found by the names that published models give them. */
import t from 'tap';
import { classOrder } from '../../../lib/eval/finetune/class-names.js';
import { taskByName } from '../../../lib/eval/finetune/tasks.js';

const rowsOf = (task: string, names: readonly string[] | undefined) => classOrder(taskByName(task).classes!, names);

// Each line: the task's classes in our order, by one spelling each, and other spellings in other orders.
const spellings: readonly (readonly [string, readonly string[], readonly number[]])[] = [
  ['sst2', ['negative', 'positive'], [0, 1]],
  ['sst2', ['POSITIVE', 'NEGATIVE'], [1, 0]],
  ['sst2', ['pos', 'neg'], [1, 0]],
  ['sst2', ['Not Positive', 'Positive'], [0, 1]],
  ['cola', ['acceptable', 'unacceptable'], [1, 0]],
  ['cola', ['Not_Acceptable', 'acceptable'], [0, 1]],
  ['cola', ['grammatical', 'ungrammatical'], [1, 0]],
  ['mrpc', ['equivalent', 'not_equivalent'], [1, 0]],
  ['mrpc', ['not paraphrase', 'is paraphrase'], [0, 1]],
  ['qqp', ['duplicate', 'not_duplicate'], [1, 0]],
  ['qqp', ['NOT_DUPLICATE', 'DUPLICATE'], [0, 1]],
  ['qqp', ['different', 'is_duplicate'], [0, 1]],
  ['mnli', ['entailment', 'neutral', 'contradiction'], [2, 0, 1]],
  ['mnli', ['CONTRADICTION', 'NEUTRAL', 'ENTAILMENT'], [0, 2, 1]],
  ['mnli', ['contradiction', 'entailment', 'neutral'], [0, 1, 2]],
  ['mnli', ['c', 'e', 'n'], [0, 1, 2]],
  ['qnli', ['not_entailment', 'entailment'], [1, 0]],
  ['qnli', ['answerable', 'unanswerable'], [0, 1]],
  ['rte', ['NOT-ENTAILMENT', 'Entailment'], [1, 0]],
  ['rte', ['entailed', 'not entailed'], [0, 1]],
];
for (const [task, names, rows] of spellings) {
  t.test(`${task}: ${names.join(', ')}`, async (t) => {
    t.same(rowsOf(task, names), { rows }, 'found without a warning');
  });
}

t.test("names that say nothing: the order of Hugging Face's datasets, with a warning", async (t) => {
  // The order of each task's features in the `glue` dataset: https://huggingface.co/datasets/nyu-mll/glue
  const ordered = { sst2: [0, 1], cola: [0, 1], mrpc: [0, 1], qqp: [0, 1], mnli: [2, 0, 1], qnli: [0, 1], rte: [0, 1] };
  for (const [task, rows] of Object.entries(ordered)) {
    const labels = rows.map((_, row) => `LABEL_${row}`);
    for (const names of [labels, rows.map((_, row) => `x${row}y`), rows.map((_, row) => `${row}`), undefined]) {
      const found = rowsOf(task, names);
      t.same(found.rows, rows, `${task}: ${names?.join()}`);
      t.match(
        found.warning,
        /have no known meaning; they are assumed to be in the order of Hugging Face's datasets: 0/,
      );
    }
  }
  t.same(rowsOf('mnli', ['LABEL_2', 'LABEL_0', 'LABEL_1']).rows, [0, 1, 2], 'numbers count, wherever they stand');
  t.same(rowsOf('sst2', ['positive', 'positive']).rows, [0, 1], 'a name twice says nothing');
  t.match(rowsOf('mnli', undefined).warning, /0 entailment, 1 neutral, 2 contradiction/);
});

t.test('one name that is not known is the class that is left', async (t) => {
  const found = rowsOf('mnli', ['entailment', 'unrelated', 'contradiction']);
  t.same(found.rows, [2, 0, 1]);
  t.match(found.warning, /"unrelated" has no known meaning; it is assumed to be the remaining class, neutral/);
});
