import t from 'tap';
import { makeSchedule, stackTop } from '../../lib/growth/index.js';
import { createMethod, depthGrowth, type MethodName } from '../../lib/methods/index.js';
import { withDefaults } from '../../lib/models/index.js';

const model = (kind: 'gpt' | 'bert') => withDefaults({ kind, layers: 12, hidden: 64, vocabSize: 64, maxPositions: 16 });
const make = (name: MethodName, options: object = {}, kind?: 'gpt' | 'bert') =>
  createMethod(
    name,
    { layers: 12, totalSteps: 1000, seed: 1, gate: { share: 0.05 }, ...options } as never,
    kind ? { model: model(kind) } : {},
  );

t.test('after a growth new layers open from 0 to 1 over a share of the run', (t) => {
  const method = make('stackbert', { stageLayers: [6, 12], boundaries: { steps: [300] } });
  const gates = (m: number) => [1, 1, 1, 1, 1, 1, m, m, m, m, m, m];
  t.equal(method.plan(299).blockGates, undefined);
  t.same(method.plan(300).blockGates, gates(0));
  t.same(method.plan(310).blockGates, gates(0.2));
  t.same(method.plan(349).blockGates, gates(0.98));
  t.strictSame(method.plan(350), { trainedLayers: 12, depth: 12, layerMap: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] });
  t.same(method.evaluationGates?.(310), { blockGates: gates(0.2) });
  t.equal(method.evaluationGates?.(350), undefined);
  t.equal(method.plan(300).updates?.('layer.6.ffn.up.weight'), false, 'a layer with gate 0 is not updated');
  t.equal(method.plan(300).updates?.('layer.5.ffn.up.weight'), true);
  t.equal(method.plan(301).updates, undefined);
  t.end();
});

t.test('every method that grows by copies has gates: of branches for pre-norm models, else of layers', (t) => {
  const at = { stackbert: 125, gstack: 100, apollo: 50, midas: 100, lidas: 167, dpt: 700 } as const;
  for (const [name, step] of Object.entries(at)) {
    const more = { ...(name === 'dpt' && { mixingSteps: 100 }), ...(name === 'apollo' && { sampler: 'none' }) };
    t.ok(make(name as MethodName, more).growth(step), name);
    const bert = make(name as MethodName, more, 'bert').plan(step);
    const gpt = make(name as MethodName, more, 'gpt').plan(step);
    t.ok(bert.blockGates?.includes(0) && !bert.branchScales, name);
    t.same(gpt.branchScales, bert.blockGates);
    t.notOk(gpt.blockGates);
  }
  t.end();
});

t.test('with interpolation the second of two neighbours is new, also at a sampled depth', (t) => {
  const method = make('apollo', { stageLayers: [2, 4, 12], boundaries: { steps: [100, 200] }, sampler: 'full' });
  t.same(method.plan(100).layerMap, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
  t.same(method.plan(100).blockGates, [1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0]);
  t.end();
});

t.test('gates are open before the next growth and at the end', (t) => {
  const method = make('stackbert', {
    stageLayers: [3, 6, 12],
    boundaries: { steps: [100, 110] },
    gate: { share: 0.5 },
  });
  t.same(method.plan(108).blockGates?.slice(3), [8 / 9, 8 / 9, 8 / 9]);
  t.equal(method.plan(109).blockGates, undefined);
  t.ok(
    make('stackbert', { stageLayers: [3, 12], boundaries: { steps: [900] }, gate: { share: 0.5 } }).plan(998)
      .blockGates,
  );
  t.equal(
    make('stackbert', { stageLayers: [3, 12], boundaries: { steps: [900] }, gate: { share: 0.5 } }).plan(999)
      .blockGates,
    undefined,
  );
  t.throws(() => make('apollo', { curve: {} }), { code: 'BAD_CONFIG', message: /apollo\.gate: .*with curve/ });
  t.end();
});

t.test('depthGrowth checks what it is given before the first step', async (t) => {
  const schedule = makeSchedule({ stageLayers: [1, 2], boundaries: { fractions: [0.5] }, totalSteps: 10 });
  const parts = { schedule, map: stackTop, moments: 'copy' } as const;
  const gate = { gate: { share: 0.1 }, totalSteps: 10 };
  t.ok(depthGrowth({ ...parts, gate }));
  const refused = (options: object, message: RegExp) =>
    t.throws(() => depthGrowth({ ...parts, ...options }), { code: 'BAD_ARGUMENT', message });
  refused({ gate: { gate: { share: 0.1 } } }, /options\.gate\.totalSteps/);
  refused({ rate: {} }, /options\.rate\.rewarmSteps/);
  refused({ gate, calibrate: true }, /calibrate and gate exclude each other/);
});
