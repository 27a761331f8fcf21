import t from 'tap';
import { unshare } from '../../lib/methods/index.js';
import { grownLayers, layerGrowth } from './support.js';

const make = (options: object = {}) => unshare({ layers: 4, totalSteps: 100, seed: 1, ...options });

t.test('one layer at all places for a tenth of the steps, then each place has its own', (t) => {
  const method = make();
  t.same(method.plan(9), { trainedLayers: 1, depth: 4, layerMap: [0, 0, 0, 0] });
  t.same(method.plan(10), { trainedLayers: 4, depth: 4, layerMap: [0, 1, 2, 3] });
  t.same(method.evaluationMaps(0), { full: [0, 0, 0, 0], stage: [0, 0, 0, 0] });
  t.same(grownLayers(layerGrowth(method, 10)), [0, 0, 0, 0], 'the network is the same after as before');
  t.same(grownLayers(layerGrowth(make({ trainedLayers: 2 }), 10)), [0, 0, 1, 1]);
  const [top] = layerGrowth(make({ moments: 'copyScaled' }), 10).copies;
  t.same(top, { from: 0, to: 3, moments: { scale: 1 / 4 } }, 'four uses become one');
  t.same(
    make({ trainedLayers: 4, boundaries: { fractions: [] } }).plan(0).layerMap,
    [0, 1, 2, 3],
    'nothing shared: scratch',
  );
  t.same(make({ layers: 1 }).settings['boundaries'], { fractions: [] }, 'one layer is shared with no other');
  t.end();
});
