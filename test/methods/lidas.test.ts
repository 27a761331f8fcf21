import t from 'tap';
import { lidas } from '../../lib/methods/index.js';
import { grownLayers, layerGrowth } from './support.js';

const make = (options: object = {}) => lidas({ layers: 12, totalSteps: 600, seed: 1, ...options });

t.test('three blocks of four, the last growth around the middle seam', (t) => {
  const method = make();
  t.same(
    [99, 100, 299, 300].map((step) => method.plan(step).depth),
    [4, 8, 8, 12],
  );
  t.same(grownLayers(layerGrowth(method, 300)), [0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 7]);
  const fine = make({ block: 2, boundaries: { steps: [1, 2, 3, 4, 5] } });
  t.same(grownLayers(layerGrowth(fine, 2)), [0, 1, 1, 2, 2, 3]);
  t.same(grownLayers(layerGrowth(fine, 5)), [0, 1, 2, 3, 4, 5, 5, 6, 6, 7, 8, 9]);
  t.end();
});

t.test('blocks are even and divide the layers', (t) => {
  t.equal(make({ layers: 4 }).settings['block'], 2);
  t.throws(() => make({ block: 3 }), { code: 'BAD_CONFIG', message: /lidas\.block: must be even.*got 3/ });
  t.throws(() => make({ layers: 9 }), { code: 'BAD_CONFIG', message: /lidas\.block: must divide the 9 layers; got 2/ });
  t.end();
});
