import t from 'tap';
import { stackbert } from '../../lib/methods/index.js';
import { grownLayers, layerGrowth } from './support.js';

const make = (options: object = {}) => stackbert({ layers: 12, totalSteps: 400, seed: 1, ...options });

t.test('3, 6 and 12 layers for 12.5, 17.5 and 70 % of the steps, each at its own depth', (t) => {
  const method = make();
  const steps = Array.from({ length: 400 }, (_, step) => step);
  t.same(
    steps.filter((step) => method.growth(step)),
    [50, 120],
  );
  t.same(
    [0, 49, 50, 119, 120, 399].map((step) => method.plan(step).depth),
    [3, 3, 6, 6, 12, 12],
  );
  t.same(method.plan(60), { trainedLayers: 6, depth: 6, layerMap: [0, 1, 2, 3, 4, 5] });
  t.same(method.evaluationMaps(0), { full: [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2], stage: [0, 1, 2] });
  t.same(method.evaluationMaps(50).full, [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]);
  t.same([make({ layers: 6 }).settings['stageLayers'], make({ layers: 5 }).settings['stageLayers']], [[3, 6], [5]]);
  t.end();
});

t.test('a copy of the model stands on the model: [w0 w1 w2] -> [w0 w1 w2 w0 w1 w2]', (t) => {
  const growth = layerGrowth(make(), 50);
  t.same([growth.from, growth.to], [3, 6]);
  t.same(grownLayers(growth), [0, 1, 2, 0, 1, 2]);
  t.same(grownLayers(layerGrowth(make(), 120)), [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]);
  t.end();
});

t.test('the state of the optimizer is reset or copied', (t) => {
  const reset = layerGrowth(make(), 50);
  t.equal(reset.shared, 'zero');
  t.same(new Set(reset.copies.map(({ moments }) => moments)), new Set(['zero']));
  t.equal(reset.copies.length, 6, 'old layers too');
  const copied = layerGrowth(make({ moments: 'copy' }), 50);
  t.equal(copied.shared, 'keep');
  t.same(
    copied.copies.map(({ from, to, moments }) => [from, to, moments]),
    [
      [2, 5, 'copy'],
      [1, 4, 'copy'],
      [0, 3, 'copy'],
    ],
  );
  t.end();
});

t.test('wrong stages are refused', (t) => {
  t.throws(() => make({ stageLayers: [3, 6] }), {
    code: 'BAD_CONFIG',
    message: /stackbert\.stageLayers: .* all 12 layers/,
  });
  t.throws(() => make({ stageLayers: [6, 3, 12] }), { code: 'BAD_ARGUMENT' });
  t.throws(() => make({ momments: 'copy' }), { code: 'BAD_CONFIG', message: /no setting "momments"/ });
  t.end();
});

t.test('boundaries after the end of the run are refused: the model would not get its layers', (t) => {
  const stages = (boundaries: object, totalSteps = 40) => make({ stageLayers: [3, 6, 12], boundaries, totalSteps });
  for (const boundaries of [
    { steps: [10, 100] },
    { steps: [10, 40] },
    { epochs: [1, 5], stepsPerEpoch: 8 },
    { tokens: [100, 400], tokensPerStep: 10 },
    { fractions: [0.1, 1] },
  ]) {
    t.throws(() => stages(boundaries), {
      code: 'BAD_CONFIG',
      message:
        /stackbert\.boundaries: the last stage, with all 12 layers, would start after step \d+, and the run ends/,
    });
  }
  t.equal(stages({ steps: [10, 39] }).plan(39).trainedLayers, 12);
  t.doesNotThrow(() => stages({ fractions: [0.1, 0.9] }, 1), 'a share that is rounded');
  t.end();
});
