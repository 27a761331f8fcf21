import t from 'tap';
import { dpt } from '../../lib/methods/index.js';
import { grownLayers, layerGrowth } from './support.js';

const make = (options: object = {}) => dpt({ layers: 12, totalSteps: 1000, seed: 1, mixingSteps: 150, ...options });

t.test('one layer grows to all at T - Tc - t_mix', (t) => {
  const method = make();
  t.same(
    [649, 650].map((step) => method.plan(step).depth),
    [1, 12],
  ); // 1000 - 200 - 150
  t.same(grownLayers(layerGrowth(method, 650)), new Array(12).fill(0));
  t.equal(make({ decay: 0.1 }).plan(749).depth, 1);
  t.equal(make({ decay: 0.1 }).plan(750).depth, 12);
  const two = make({ from: 3 });
  t.same(grownLayers(layerGrowth(two, 650)), [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
  t.end();
});

t.test('it says when mixing takes too much of the run', (t) => {
  t.throws(() => make({ mixingSteps: 501 }), { code: 'BAD_CONFIG', message: /dpt\.mixingSteps: 501 of 1000 steps/ });
  t.throws(() => make({ mixingSteps: 400, decay: 0.7 }), { code: 'BAD_CONFIG', message: /ends before the decay/ });
  t.throws(() => make({ from: 12 }), { code: 'BAD_CONFIG', message: /dpt\.from: must be less than the 12 layers/ });
  t.throws(() => dpt({ layers: 12, totalSteps: 1000, seed: 1 } as never), {
    code: 'BAD_CONFIG',
    message: /dpt\.mixingSteps: expected the mixing time in steps, .*docs\/methods\/dpt\.md\); got nothing/,
  });
  t.end();
});
