import t, { type Test } from 'tap';
import { keepLevel, keepProbability } from '../../lib/growth/index.js';
import { pld } from '../../lib/methods/index.js';

const options = { limit: 0.5, gamma: 0.001 };
const near = (t: Test, value: number, expected: number, digits: number) =>
  t.equal(value.toFixed(digits), expected.toFixed(digits));

t.test('theta and the keep probabilities of method and release', (t) => {
  t.equal(keepLevel(0, options), 1);
  near(t, keepLevel(1000, options), 0.68394, 6);
  near(t, keepLevel(5000, options), 0.503369, 6);
  near(t, keepProbability(1000, 0, 12, options), 0.9737, 4);
  near(t, keepProbability(1000, 11, 12, options), 0.6839, 4);
  const depths = Array.from({ length: 12 }, (_, layer) => keepProbability(1000, layer, 12, options));
  near(
    t,
    depths.reduce((sum, p) => sum + p, 0),
    9.9456,
    4,
  );
  t.end();
});

t.test('layers are dropped as often as they should be, and kept branches are scaled up', (t) => {
  // gamma so large that theta is at its limit from the second step on: p_i = 1 - (i / 4) / 2.
  const method = pld({ layers: 4, totalSteps: 20_000, seed: 3, gamma: 100 });
  const kept = [0, 0, 0, 0];
  for (let step = 1; step < 20_000; step++) {
    const { layerMap, branchScales, depth, trainedLayers } = method.plan(step);
    if (depth !== layerMap.length || trainedLayers !== 4) t.fail('the plan fits');
    layerMap.forEach((layer, place) => {
      kept[layer] = (kept[layer] as number) + 1;
      const p = 1 - (layer + 1) / 8;
      if (Math.abs((branchScales as number[])[place]! - 1 / p) > 1e-12) t.fail('the scale is 1 / p');
    });
  }
  // Five standard deviations of 19,999 draws: 5 sqrt(p (1 - p) / 19,999) <= 0.018; layer 0 also stands in for no layer.
  const nothing = (1 / 8) * (2 / 8) * (3 / 8) * (4 / 8);
  [7 / 8 + nothing, 6 / 8, 5 / 8, 4 / 8].forEach((p, layer) => {
    const share = (kept[layer] as number) / 19_999;
    t.ok(Math.abs(share - p) < 0.018, `layer ${layer}: ${share} against ${p}`);
  });
  t.same(method.plan(0), { trainedLayers: 4, depth: 4, layerMap: [0, 1, 2, 3], branchScales: [1, 1, 1, 1] });
  t.same(method.evaluationMaps(19_999).full, [0, 1, 2, 3], 'evaluation drops nothing');
  t.equal(method.growth(5), undefined);
  t.end();
});

t.test('another seed drops other layers', (t) => {
  const maps = (seed: number) => {
    const method = pld({ layers: 12, totalSteps: 100, seed, gamma: 1 });
    return Array.from({ length: 100 }, (_, step) => method.plan(step).layerMap.join()).join('|');
  };
  t.equal(maps(1), maps(1));
  t.not(maps(1), maps(2));
  t.throws(() => pld({ layers: 4, totalSteps: 1, seed: 1, limit: 0 }), { code: 'BAD_CONFIG', message: /pld\.limit/ });
  t.end();
});
