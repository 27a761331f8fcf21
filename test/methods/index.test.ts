import t from 'tap';
import { createMethod, type MethodName, methodNames } from '../../lib/methods/index.js';
import { withDefaults } from '../../lib/models/index.js';

const model = withDefaults({ kind: 'gpt', layers: 6, hidden: 8, heads: 2, vocab: 5, maxPositions: 4 });
const context = { model };
/** What a method cannot do without, besides the common options. */
const required: Partial<Record<MethodName, object>> = {
  ligo: { source: 'runs/small', small: { layers: 3, hidden: 4, heads: 1, ffn: 16 }, operatorSteps: 20 },
};

t.test('methods are made by name', (t) => {
  for (const name of methodNames) {
    const method = createMethod(name, { layers: 6, totalSteps: 100, seed: 3, ...required[name] } as never, context);
    t.equal(method.name, name);
    t.equal(method.layers, 6);
    t.equal(method.plan(99).depth, 6, 'every method ends with the full model');
    t.same(JSON.parse(JSON.stringify(method.settings)), method.settings, 'settings survive JSON');
    // The settings a method reports make the same method again.
    const again = createMethod(name, method.settings as never, context);
    for (let step = 0; step < 100; step++) t.same(again.plan(step), method.plan(step));
  }
  t.throws(() => createMethod('appolo' as 'apollo', { layers: 1, totalSteps: 1, seed: 0 }), {
    code: 'BAD_CONFIG',
    message: /no training method "appolo"\. Known: scratch, apollo/,
  });
  t.end();
});
