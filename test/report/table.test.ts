import t from 'tap';
import { analyse } from '../../lib/report/aggregate.js';
import { htmlReport } from '../../lib/report/html.js';
import { markdownTable, tableRows, textTable, verdicts } from '../../lib/report/table.js';
import { comparison, record } from './curves.js';

const scratch = record('scratch', 1, [
  [1.0, 3.5],
  [1.8, 3.04],
  [1.9, 3.04],
  [2.0, 3.04],
]);

t.test('the table says what was saved', async (t) => {
  const rows = tableRows(
    analyse(
      comparison([
        scratch,
        record('apollo', 1, [
          [1.0, 3.1],
          [1.2, 3.0],
          [1.4, 2.9],
        ]),
      ]),
    ),
  );
  t.same(rows[0]!.slice(0, 3), ['method', 'final loss', 'saved FLOPs']);
  t.same(rows[1]!.slice(0, 3), ['scratch (reference)', '3.0400', '10.0 %']);
  t.same(rows[2]!.slice(0, 3), ['apollo', '3.0000', '44.0 %']);
  t.match(markdownTable(rows), /^\| method \| final loss \|.*\n\| --- \| ---: \|/);
  const lines = textTable(rows).split('\n');
  t.equal(lines.length, 4);
  t.equal(lines[2]!.indexOf('3.0400'), lines[3]!.indexOf('3.0000'), 'columns are aligned');
});

t.test('several seeds show the standard deviation; cells are escaped in Markdown', async (t) => {
  const rows = tableRows(
    analyse(comparison([scratch, { ...scratch, seed: 2 }, record('a|b', 1, [[1, 2]]), record('a|b', 2, [[2, 2.5]])])),
  );
  t.equal(rows[2]![1], '2.2500 ± 0.3536');
  t.match(rows[2]![2], /^25\.0 ± 35\.4 %$/);
  t.match(markdownTable(rows), /a\\\|b/);
});

t.test('what has no figure shows none', async (t) => {
  const start = comparison([record('scratch', 1, [[0, 5]]), record('apollo', 1, [[0, 4]])]);
  const analysis = analyse(start);
  t.ok(Number.isNaN(analysis.methods[1]!.saving!.flopsModel.mean), 'a share of nothing');
  t.same(
    tableRows(analysis).map((row) => row.slice(1, 4)),
    [
      ['final loss', 'saved FLOPs', 'saved layer FLOPs'],
      ['5.0000', '-', '-'],
      ['4.0000', '-', '-'],
    ],
  );
  t.match(
    verdicts(analysis).at(-1),
    /apollo: nothing to compare yet, because scratch has been evaluated before its first/,
  );
  t.notMatch(await htmlReport(start, analysis, { interactive: false }), /NaN %/);

  const diverged = analyse(comparison([record('scratch', 1, [[1, Number.NaN]]), record('apollo', 1, [[1, 4]])]));
  t.equal(tableRows(diverged)[2]![2], 'not reached');
  t.match(verdicts(diverged).at(-1), /apollo: nothing to compare with, because scratch's final loss is not finite/);
});

t.test('a method that does not reach the target says so, with its gap', async (t) => {
  const analysis = analyse(comparison([scratch, record('apollo', 1, [[1, 3.29]])]));
  t.equal(tableRows(analysis)[2]![2], 'not reached, gap 0.2500');
  t.match(verdicts(analysis)[0], /not reached, gap 0\.2500 to scratch's final loss of 3\.0400/);
});

t.test('runs that are not complete are named before the sentences about methods', async (t) => {
  const running = { ...record('apollo', 1, [[1, 3.0]]), finished: false };
  const [first, second] = verdicts(analyse(comparison([scratch, running])));
  t.equal(first, 'Not all runs are complete: figures may still change.');
  t.match(second, /^apollo reached scratch's final loss/);
});

t.test('a method that needs more than the reference says more', async (t) => {
  const analysis = analyse(
    comparison([
      scratch,
      record('slow', 1, [
        [2.5, 3.5],
        [3.5, 2.5],
      ]),
    ]),
  );
  t.match(verdicts(analysis)[0], /% more FLOPs and .* % more time\.$/);
});

t.test('a start whose costs are not known is reported', async (t) => {
  const grown = { ...record('bert2bert', 1, [[1, 2.9]]), sourceUnknown: true as const };
  const sentences = verdicts(analyse(comparison([scratch, grown])));
  t.equal(sentences.length, 2);
  t.match(sentences[1], /^bert2bert started from a trained model of unknown cost; its cost is not counted\.$/);
});
