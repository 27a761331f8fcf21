/** How scores of a task are reported. */
import t from 'tap';
import { describeScores } from '../../../lib/cli/settings/tuning.js';

t.test('scores x 100 by split; one that is not defined is called that', async (t) => {
  t.equal(
    describeScores({ dev: { pearson: Number.NaN, spearman: 0.5 }, test: { accuracy: 1 } }),
    'dev pearson not defined, spearman 50.0; test accuracy 100.0',
  );
});
