import t from 'tap';
import { evaluate } from '../../lib/engine/index.js';
import { atPositions, tiedLogits, tiedLoss } from '../../lib/nn/heads.js';

const rows = [1, 0, 0, 2, 1, 1]; // [3, 2]
const table = [0, 0, 1, 0, 0, 1, 1, 1]; // [4, 2]
const bias = [0.5, 0, 0, -1];
const logits = [
  [0.5, 1, 0, 0],
  [0.5, 0, 2, 1],
  [0.5, 1, 1, 1],
];

/** -log softmax(row)[label] in f64. */
const surprise = (row: number[], label: number): number =>
  Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0)) - (row[label] as number);

t.test('the tied head is rows times table transposed plus bias', async (t) => {
  const result = (await evaluate(
    (graph) => tiedLogits(graph.input('rows', [3, 2]), graph.input('table', [4, 2]), graph.input('bias', [4])),
    { rows, table, bias },
  )) as Float32Array;
  t.same([...result], logits.flat());
});

t.test('the loss is the mean over counted labels', async (t) => {
  const run = async (labels: number[]) =>
    (await evaluate(
      (graph) =>
        tiedLoss(
          graph.input('rows', [3, 2]),
          graph.input('table', [4, 2]),
          graph.input('labels', [3], 'i32'),
          graph.input('bias', [4]),
        ),
      { rows, table, bias, labels },
    )) as { loss: Float32Array; count: Float32Array };
  const all = await run([1, 2, 3]);
  const expected = logits.reduce((sum, row, i) => sum + surprise(row, i + 1), 0) / 3;
  t.ok(Math.abs((all.loss[0] as number) - expected) < 1e-6, `${all.loss[0]} against ${expected}`);
  t.same([...all.count], [3]);
  const some = await run([-100, 0, -100]);
  t.ok(Math.abs((some.loss[0] as number) - surprise(logits[1] as number[], 0)) < 1e-6);
  t.same([...some.count], [1]);
  const none = await run([-100, -100, -100]);
  t.same([none.loss[0], none.count[0]], [0, 0], 'no label, no loss');
});

t.test('positions are flat indices into [B * T, C]', async (t) => {
  const hidden = Array.from({ length: 12 }, (_, i) => i);
  const result = (await evaluate(
    (graph) => atPositions(graph.input('hidden', [2, 3, 2]), graph.input('positions', [3], 'i32')),
    { hidden, positions: [5, 0, 3] },
  )) as Float32Array;
  t.same([...result], [10, 11, 0, 1, 6, 7]);
});
