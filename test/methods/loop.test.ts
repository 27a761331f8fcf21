import t from 'tap';
import { loop } from '../../lib/methods/index.js';
import { grownLayers, layerGrowth } from './support.js';

const make = (options: object = {}) => loop({ layers: 12, totalSteps: 1000, seed: 1, ...options });

t.test('a block runs twice, then becomes two with the same layers at every place', (t) => {
  const method = make();
  const map = (step: number) => method.plan(step).layerMap.join(' ');
  t.equal(map(199), '0 1 2 3 4 5');
  t.equal(map(200), '0 1 2 3 2 3 4 5');
  t.equal(map(279), '0 1 2 3 2 3 4 5');
  t.equal(map(280), '0 1 2 3 4 5 6 7');
  t.equal(map(360), '0 1 2 3 4 5 4 5 6 7');
  t.equal(map(600), '0 1 2 3 4 5 6 7 8 9 10 11');
  for (const step of [280, 440, 600]) {
    // The network of the last tied step, with the layers as they are after the growth: nothing has changed.
    const before = method.plan(step - 1).layerMap;
    t.same(grownLayers(layerGrowth(method, step)), before);
    t.equal(method.plan(step).depth, before.length, 'a tied layer costs what one of its own does');
    t.same(method.evaluationMaps(step - 1).stage, before);
  }
  t.same(
    layerGrowth(method, 280).copies.map(({ from, to, moments }) => [from, to, moments]),
    [
      [5, 7, 'copy'],
      [4, 6, 'copy'],
      [3, 5, 'copy'],
      [2, 4, 'copy'],
    ],
  );
  t.end();
});

t.test('settings', (t) => {
  t.match(make({ layers: 7 }).settings, { block: 1, from: 4 });
  t.match(make({ layers: 4 }).settings, { block: 2, from: 2, boundaries: { fractions: [0.2, 0.6] } });
  t.match(make({ from: 8, boundaries: { steps: [1, 2, 3, 4] } }).plan(4), { depth: 12, trainedLayers: 12 });
  t.throws(() => make({ block: 5 }), { code: 'BAD_CONFIG', message: /loop\.block: must divide the 12 layers.*got 5/ });
  t.throws(() => make({ from: 7 }), { code: 'BAD_CONFIG', message: /the 7 at the start/ });
  t.throws(() => make({ boundaries: { steps: [1, 2] } }), {
    code: 'BAD_CONFIG',
    message: /3 growths .* two boundaries each; got 2/,
  });
  t.end();
});
