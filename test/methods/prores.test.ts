import t from 'tap';
import { prores } from '../../lib/methods/index.js';
import { withDefaults } from '../../lib/models/index.js';

const make = (options: object = {}, context = {}) =>
  prores({ layers: 4, totalSteps: 1000, seed: 1, ...options }, context);
const bert = withDefaults({ kind: 'bert', layers: 4, hidden: 32, heads: 2, vocabSize: 64, maxPositions: 16 });
const near = (values: readonly number[] | undefined, expected: readonly number[]) =>
  values?.length === expected.length && values.every((value, i) => Math.abs(value - (expected[i] as number)) < 1e-12);

t.test('alpha(l, t) = min(t / (Tr l), 1), the last layer after the ramp', (t) => {
  const method = make({ ramp: 0.4 }); // Tr = 100
  t.same(method.plan(0).branchScales, [0, 0, 0, 0]);
  t.ok(near(method.plan(50).branchScales, [0.5, 0.25, 0.5 / 3, 0.125]));
  t.ok(near(method.plan(200).branchScales, [1, 1, 2 / 3, 0.5]));
  t.ok(near(method.plan(399).branchScales, [1, 1, 1, 399 / 400]));
  t.strictSame(
    method.plan(400),
    { trainedLayers: 4, depth: 4, layerMap: [0, 1, 2, 3] },
    'then a step is that of scratch',
  );
  t.equal(method.plan(0).depth, 4, 'gates save no FLOPs');
  t.end();
});

t.test('layers with gate 0 are not updated', (t) => {
  const { updates } = make().plan(0);
  t.equal(updates?.('layer.0.ffn.up.weight'), false);
  t.equal(updates?.('embeddings.word'), true);
  t.equal(updates?.('final.norm.weight'), true);
  t.equal(make().plan(1).updates, undefined);
  t.end();
});

t.test('post-norm models have the square and a longer ramp', (t) => {
  t.match(make().settings, { square: false, ramp: 0.12 });
  const method = make({}, { model: bert });
  t.match(method.settings, { square: true, ramp: 0.4 });
  t.ok(near(method.plan(50).branchScales, [0.25, 1 / 16, 1 / 36, 1 / 64]));
  t.match(make({ square: false }, { model: bert }).settings, { square: false, ramp: 0.12 });
  t.end();
});

t.test('evaluation has the gates of the step; the last step has none', (t) => {
  const method = make({ ramp: 1 });
  t.same(method.evaluationGates?.(500), { branchScales: method.plan(500).branchScales });
  t.equal(method.evaluationGates?.(999), undefined);
  t.strictSame(method.plan(999), { trainedLayers: 4, depth: 4, layerMap: [0, 1, 2, 3] });
  t.throws(() => make({ ramp: 0 }), { code: 'BAD_CONFIG', message: /prores\.ramp/ });
  t.end();
});
