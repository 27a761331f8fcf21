import t from 'tap';
import { raptr } from '../../lib/methods/index.js';

const make = (options: object = {}) => raptr({ layers: 12, totalSteps: 40_000, seed: 3, ...options });

t.test('the mean depth of each stage is as given, within 1 %', (t) => {
  const method = make();
  for (const [stage, expected] of [6, 8, 10, 12].entries()) {
    let sum = 0;
    for (let step = 10_000 * stage; step < 10_000 * (stage + 1); step++) {
      const { layerMap, depth } = method.plan(step);
      sum += depth;
      if (layerMap[0] !== 0 || layerMap.at(-1) !== 11) t.fail('the first and the last layer are always there');
    }
    t.ok(Math.abs(sum / 10_000 / expected - 1) < 0.01, `stage ${stage}: ${sum / 10_000}`);
  }
  t.end();
});

t.test('kept layers are rescaled by 1 / p, but for the first and the last', (t) => {
  const p = 0.4; // (6 - 2) / (12 - 2)
  const scales = (scale?: string) => {
    const plan = make({ ...(scale && { scale }) }).plan(7);
    return { map: plan.layerMap, branches: plan.branchScales, layers: plan.blockGates };
  };
  const expected = scales().map.map((layer) => (layer === 0 || layer === 11 ? 1 : 1 / p));
  t.ok(expected.length > 2 && expected.length < 12);
  t.strictSame(scales(), { map: scales().map, branches: expected, layers: undefined });
  t.strictSame(scales('layer'), { map: scales().map, branches: undefined, layers: expected });
  t.strictSame(scales('none'), { map: scales().map, branches: undefined, layers: undefined });
  t.end();
});

t.test('with all layers a step is that of scratch, and evaluation always has all', (t) => {
  const all = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
  const plain = { trainedLayers: 12, depth: 12, layerMap: all };
  t.strictSame(make().plan(30_000), plain);
  t.strictSame(make({ depths: [12] }).plan(0), plain);
  const late = make({ full: 0.1 });
  t.strictSame(late.plan(3_999), plain);
  t.ok(late.plan(4_000).depth < 12);
  t.same(make().evaluationMaps(0), { full: all, stage: all });
  t.equal(make().evaluationGates, undefined);
  t.end();
});

t.test('depths and boundaries fit together', (t) => {
  t.same(make({ layers: 4 }).settings['depths'], [2, 16 / 6, 20 / 6, 4]);
  t.equal(make({ layers: 1 }).plan(0).depth, 1);
  t.throws(() => make({ depths: [1, 12] }), {
    code: 'BAD_CONFIG',
    message: /raptr\.depths\[0\]: must be between 2.* and 12; got 1/,
  });
  t.throws(() => make({ depths: [6, 12], boundaries: { steps: [1, 2] } }), {
    code: 'BAD_CONFIG',
    message: /2 depths need 1 boundaries; got 2/,
  });
  t.throws(() => make({ totalSteps: 10, depths: [6, 12], boundaries: { steps: [20] } }), {
    code: 'BAD_CONFIG',
    message:
      /raptr\.boundaries: the last stage, of mean depth 12, would start after step 20, and the run ends after step 10/,
  });
  t.end();
});
