import t from 'tap';
import { createMethod, methodNames } from '../../lib/methods/index.js';

t.test('methods are made by name', (t) => {
  for (const name of methodNames) {
    const method = createMethod(name, { layers: 6, totalSteps: 100, seed: 3 });
    t.equal(method.name, name);
    t.equal(method.layers, 6);
    t.equal(method.plan(99).depth, 6, 'every method ends with the full model');
    t.same(JSON.parse(JSON.stringify(method.settings)), method.settings, 'settings survive JSON');
    // The settings a method reports make the same method again.
    const again = createMethod(name, method.settings as never);
    for (let step = 0; step < 100; step++) t.same(again.plan(step), method.plan(step));
  }
  t.throws(() => createMethod('appolo' as 'apollo', { layers: 1, totalSteps: 1, seed: 0 }), {
    code: 'BAD_CONFIG',
    message: /no training method "appolo"\. Known: scratch, apollo/,
  });
  t.end();
});
