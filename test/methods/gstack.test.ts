import t from 'tap';
import { gstack } from '../../lib/methods/index.js';
import { grownLayers, layerGrowth } from './support.js';

const make = (options: object = {}) => gstack({ layers: 12, totalSteps: 200, seed: 1, ...options });

t.test('a quarter of the layers for a tenth of the steps, then four copies one above the other', (t) => {
  const method = make();
  t.same(
    [19, 20, 199].map((step) => method.plan(step).depth),
    [3, 12, 12],
  );
  const growth = layerGrowth(method, 20);
  t.same(grownLayers(growth), [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
  t.equal(growth.shared, 'zero', 'a fresh optimizer');
  t.same(method.evaluationMaps(0).full, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
  t.same(layerGrowth(make({ layers: 24, factor: 4 }), 20).from, 6, 'the configuration of the release: 6 to 24');
  t.end();
});

t.test('the factor divides the layers', (t) => {
  t.equal(make({ layers: 6 }).settings['factor'], 3);
  t.equal(make({ factor: 2 }).plan(0).depth, 6);
  t.throws(() => make({ factor: 5 }), {
    code: 'BAD_CONFIG',
    message: /gstack\.factor: must divide the 12 layers; got 5/,
  });
  t.throws(() => make({ layers: 7 }), { code: 'BAD_CONFIG', message: /gstack\.factor/ });
  t.end();
});
