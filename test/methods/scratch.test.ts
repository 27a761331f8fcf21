import t from 'tap';
import { scratch } from '../../lib/methods/scratch.js';

t.test('scratch is the whole model at every step', (t) => {
  const method = scratch({ layers: 4, totalSteps: 10, seed: 1 });
  for (const step of [0, 5, 9]) {
    t.same(method.plan(step), { trainedLayers: 4, depth: 4, layerMap: [0, 1, 2, 3] });
    t.same(method.evaluationMaps(step), { full: [0, 1, 2, 3], stage: [0, 1, 2, 3] });
    t.equal(method.growth(step), undefined);
    t.same(method.stageAt(step), { index: 0, trainedLayers: 4 });
  }
  t.same(method.settings, { layers: 4, totalSteps: 10, seed: 1 });
  t.throws(() => scratch({ layers: 4, totalSteps: 10, seed: 0.5 }), { code: 'BAD_CONFIG', message: /scratch\.seed/ });
  t.end();
});
