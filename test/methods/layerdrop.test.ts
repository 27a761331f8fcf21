import t from 'tap';
import { layerdrop } from '../../lib/methods/index.js';

const make = (options: object = {}) => layerdrop({ layers: 12, totalSteps: 10_001, seed: 3, ...options });

t.test('skips a quarter of `drop` of the layers on average, rather upper ones and early', (t) => {
  for (const drop of [0.2, 0.4, 0.6]) {
    const method = make({ drop });
    const skipped = new Array<number>(12).fill(0);
    let depths = 0;
    for (let step = 0; step < 10_001; step++) {
      const { layerMap, depth } = method.plan(step);
      depths += depth;
      for (let layer = 0; layer < 12; layer++)
        if (!layerMap.includes(layer)) skipped[layer] = (skipped[layer] as number) + 1;
    }
    const expected = 12 * (1 - drop / 4);
    t.ok(Math.abs(depths / 10_001 / expected - 1) < 0.01, `${depths / 10_001} of ${expected}`);
    t.equal(skipped[0], 0, 'the first layer is always there');
    // Half of `drop` over time for the top layer; five standard deviations of 10,001 draws are at most 0.025.
    t.ok(Math.abs((skipped[11] as number) / 10_001 - drop / 2) < 0.025);
  }
  t.end();
});

t.test('the whole residual of a kept layer is scaled by 1 / rho', (t) => {
  const method = make({ drop: 0.5, totalSteps: 11 });
  const { layerMap, blockGates } = method.plan(5); // half way: p = 0.25 l / 11
  t.same(
    blockGates,
    layerMap.map((layer) => 1 / (1 - 0.5 * (layer / 11) * 0.5)),
  );
  t.ok(make({ scale: 'branches' }).plan(5).branchScales);
  t.end();
});

t.test('without dropping, and in the last step, it is scratch', (t) => {
  const all = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
  const plain = { trainedLayers: 12, depth: 12, layerMap: all };
  t.strictSame(make({ drop: 0 }).plan(0), plain);
  t.strictSame(make().plan(10_000), plain);
  t.same(make().evaluationMaps(0), { full: all, stage: all });
  t.equal(make({ layers: 1 }).plan(0).depth, 1);
  t.throws(() => make({ drop: 1 }), { code: 'BAD_CONFIG', message: /layerdrop\.drop/ });
  t.end();
});
