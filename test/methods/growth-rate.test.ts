import t from 'tap';
import { newLayers, rateAfterGrowth } from '../../lib/methods/growth-rate.js';
import { apollo, gstack, stackbert } from '../../lib/methods/index.js';
import { layerCopies } from '../../lib/methods/moments.js';

const keep = { rewarmSteps: 0, rewarm: 'all', rewarmPeak: 1, rewind: false } as const;
const growth = { from: 2, since: 10, map: [0, 0, 1, 1] };

t.test('the first copy of a layer is that layer, further ones are new', (t) => {
  t.same(newLayers([0, 1, 2, 0, 1, 2]), [false, false, false, true, true, true]);
  t.same(newLayers([0, 0, 1, 1]), [false, true, false, true]);
  t.end();
});

t.test('nothing changes before a growth, by default, or when the warm-up is over', (t) => {
  t.same(rateAfterGrowth(3, { ...keep, rewarmSteps: 5 }, undefined), {});
  t.same(rateAfterGrowth(10, keep, growth), {});
  t.same(rateAfterGrowth(14, { ...keep, rewarmSteps: 5 }, growth), {});
  t.end();
});

t.test('the rate rises again: of all parameters, or of new layers', (t) => {
  const factors = [10, 11, 12, 13].map((step) => rateAfterGrowth(step, { ...keep, rewarmSteps: 4 }, growth));
  t.same(factors, [
    { learningRate: { factor: 0.25 } },
    { learningRate: { factor: 0.5 } },
    { learningRate: { factor: 0.75 } },
    {},
  ]);
  t.same(rateAfterGrowth(11, { ...keep, rewarmSteps: 4, rewarm: 'new' }, growth), { layerRates: [1, 0.5, 1, 0.5] });
  t.end();
});

t.test('beyond the schedule, and back over ten times as many steps', (t) => {
  const options = { ...keep, rewarmSteps: 2, rewarmPeak: 1.5 };
  const factorAt = (step: number) => {
    const { learningRate } = rateAfterGrowth(step, options, growth);
    return learningRate && 'factor' in learningRate ? learningRate.factor : 1;
  };
  t.same([10, 11].map(factorAt), [0.75, 1.5]);
  t.ok(Math.abs(factorAt(21) - 1.25) < 1e-12, 'half of the way back');
  t.equal(factorAt(31), 1);
  t.equal(factorAt(99), 1);
  t.end();
});

t.test('the schedule restarts at the growth', (t) => {
  const rewind = { ...keep, rewind: true, rewarmSteps: 3 };
  t.same(rateAfterGrowth(50, rewind, growth), { learningRate: { since: 10, warmupSteps: 3 } });
  t.same(rateAfterGrowth(10, { ...rewind, rewarm: 'new' }, growth), {
    learningRate: { since: 10, warmupSteps: 0 },
    layerRates: [1, 1 / 3, 1, 1 / 3],
  });
  t.end();
});

t.test('methods that grow by copies take the settings and name the map of their last growth', (t) => {
  const common = { layers: 4, totalSteps: 100, seed: 1, rewarmSteps: 10, rewarm: 'new' as const };
  const boundaries = { fractions: [0.5] };
  const stacking = stackbert({ ...common, stageLayers: [2, 4], boundaries });
  t.equal(stacking.plan(49).layerRates, undefined);
  t.same(stacking.plan(50).layerRates, [1, 1, 0.1, 0.1]);
  t.same(gstack({ ...common, factor: 2, boundaries }).plan(54).layerRates, [1, 1, 0.5, 0.5]);
  t.same(apollo({ ...common, stageLayers: [2, 4], boundaries, sampler: 'none' }).plan(54).layerRates, [1, 0.5, 1, 0.5]);
  t.end();
});

t.test("'old-kept-new-zero' takes the state to the first copy of a layer and clears the others", (t) => {
  const copies = (map: number[], from: number) => layerCopies(map, { moments: 'old-kept-new-zero', from });
  t.same(copies([0, 1, 0, 1], 2), [
    { from: 1, to: 3, moments: 'zero' },
    { from: 0, to: 2, moments: 'zero' },
  ]);
  t.same(copies([0, 0, 1, 1], 2), [
    { from: 1, to: 3, moments: 'zero' },
    { from: 1, to: 2, moments: 'copy' },
    { from: 0, to: 1, moments: 'zero' },
  ]);
  t.end();
});

t.test('equal boundaries pass a stage over: copies, rates and moments go by one map', (t) => {
  const common = { layers: 5, totalSteps: 100, seed: 1, moments: 'old-kept-new-zero' as const };
  const stages = { stageLayers: [2, 3, 5], boundaries: { steps: [50, 50] } };
  const method = apollo({ ...common, ...stages, sampler: 'none', rewarm: 'new', rewarmSteps: 10 });
  t.same(method.growth(50), {
    kind: 'layers',
    from: 2,
    to: 5,
    copies: [
      { from: 1, to: 4, moments: 'zero' },
      { from: 1, to: 3, moments: 'copy' },
      { from: 0, to: 2, moments: 'zero' },
      { from: 0, to: 1, moments: 'zero' },
    ],
  });
  t.same(method.plan(50).layerRates, [1, 0.1, 0.1, 1, 0.1]);
  t.equal(method.growth(49), undefined);
  t.equal(method.growth(51), undefined);
  t.end();
});

t.test('a layer does not start from one above it', (t) => {
  t.throws(() => layerCopies([1, 0], { moments: 'copy', from: 2 }), {
    code: 'BAD_ARGUMENT',
    message: /^layerCopies: map must have each layer start from itself or from one below.*got \[1, 0\], where layer 0/,
  });
  t.end();
});

t.test('a rate of new layers that does not rise is refused', (t) => {
  t.throws(() => apollo({ layers: 4, totalSteps: 100, seed: 1, rewarm: 'new' }), {
    code: 'BAD_CONFIG',
    message: /apollo\.rewarm: "new" has no effect without rewarmSteps\. Give apollo\.rewarmSteps/,
  });
  t.end();
});
