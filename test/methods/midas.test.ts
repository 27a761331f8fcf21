import t from 'tap';
import { midas } from '../../lib/methods/index.js';
import { grownLayers, layerGrowth } from './support.js';

const make = (options: object = {}, context = {}) =>
  midas({ layers: 12, totalSteps: 1000, seed: 1, ...options }, context);
const depths = (method: ReturnType<typeof midas>) => Array.from({ length: 1000 }, (_, step) => method.plan(step).depth);
const growths = (method: ReturnType<typeof midas>) =>
  Array.from({ length: 1000 }, (_, step) => step).filter((step) => method.growth(step));

t.test('four stages of one block more each, whose lengths grow with them', (t) => {
  const method = make();
  t.same(growths(method), [100, 300, 600]);
  t.equal(depths(method).reduce((sum, depth) => sum + depth, 0) / 1000, 9, '9 of 12 layers on average');
  t.same(
    [100, 300, 600].map((step) => grownLayers(layerGrowth(method, step))),
    [
      [0, 1, 2, 0, 1, 2],
      [0, 1, 2, 0, 1, 2, 3, 4, 5],
      [0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7, 8],
    ],
  );
  t.same(method.evaluationMaps(700).full, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  t.same(method.evaluationMaps(400).full, [0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7, 8], 'what it would grow into now');
  t.end();
});

t.test('the last growth comes before a decay over the last fifth', (t) => {
  for (const alpha of [1, 2]) {
    for (const block of [2, 3, 4, 6]) {
      const steps = growths(make({ alpha, block }));
      t.equal(steps.length, 12 / block - 1);
      t.ok((steps.at(-1) as number) < 800, `alpha ${alpha}, block ${block}: ${steps.join(', ')}`);
    }
  }
  t.same(growths(make({ alpha: 0, block: 2 })), [167, 333, 500, 667, 833], 'equal stages are later');
  t.end();
});

t.test('the first copies keep their moments, those of the inserted block are zero', (t) => {
  const rules = (moments?: string) => {
    const { copies, shared } = layerGrowth(make(moments ? { moments } : {}), 300);
    return {
      shared,
      zero: copies
        .filter((copy) => copy.moments === 'zero')
        .map(({ to }) => to)
        .sort(),
    };
  };
  t.same(rules(), { shared: 'keep', zero: [3, 4, 5] });
  t.same(rules('copy'), { shared: 'keep', zero: [] });
  t.same(rules('reset'), { shared: 'zero', zero: [0, 1, 2, 3, 4, 5, 6, 7, 8] });
  t.end();
});

t.test('blocks divide the layers', (t) => {
  t.equal(make({ layers: 6 }).settings['block'], 2);
  t.equal(make({ layers: 7 }).settings['block'], 1);
  t.throws(() => make({ block: 5 }), { code: 'BAD_CONFIG', message: /midas\.block: must divide the 12 layers; got 5/ });
  t.same(growths(make({ boundaries: { steps: [10, 20, 30] } })), [10, 20, 30]);
  t.end();
});
