import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import * as metrics from '../../../lib/eval/finetune/metrics.js';

interface Case {
  readonly name: string;
  readonly predictions: readonly number[];
  readonly labels: readonly number[];
  readonly scores: Readonly<Record<'accuracy' | 'f1' | 'matthews' | 'pearson' | 'spearman', number | null>>;
}

const cases = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../fixtures/eval/metrics.json'), 'utf8'),
) as readonly Case[];

for (const { name, predictions, labels, scores } of cases) {
  t.test(`${name}: as scikit-learn and SciPy`, async (t) => {
    for (const [metric, expected] of Object.entries(scores)) {
      const value = metrics[metric as keyof Case['scores']](predictions, labels);
      if (expected === null) t.ok(Number.isNaN(value), `${metric} is not defined; got ${value}`);
      else t.ok(Math.abs(value - expected) <= 1e-6, `${metric}: ${value}, expected ${expected}`);
    }
  });
}

t.test('the cases hold the degenerate ones', async (t) => {
  t.ok(cases.some(({ scores }) => scores.pearson === null));
  t.ok(cases.some(({ scores }) => scores.matthews === 0));
  t.ok(cases.length > 15);
});

t.test('ties share the mean of their ranks', async (t) => {
  t.same([...metrics.ranks([10, 30, 20, 30])], [1, 3.5, 2, 3.5]);
  t.same([...metrics.ranks([7, 7, 7])], [2, 2, 2]);
});

t.test('no predictions, or another number of labels, are refused', async (t) => {
  t.throws(() => metrics.accuracy([], []), { code: 'BAD_ARGUMENT', message: /at least one/ });
  t.throws(() => metrics.f1([1], [1, 0]), { code: 'BAD_ARGUMENT', message: /got 1 and 2/ });
});

t.test('argmax takes the first of equals', async (t) => {
  t.equal(metrics.argmax([1, 3, 3]), 1);
});
