import t from 'tap';
import {
  proportionalFractions,
  repeatMiddleBlock,
  repeatMiddleLayers,
  repeatNewMiddle,
} from '../../lib/growth/index.js';

/** The share of adjacent pairs that stood together before: G_stack's connection rate. */
const connected = (map: number[]) => map.slice(1).filter((layer, i) => layer === (map[i] as number) + 1).length;

t.test('MIDAS repeats the middle block', (t) => {
  const cases: [number, number, string, number][] = [
    [3, 3, '0 1 2 0 1 2', 4],
    [3, 6, '0 1 2 0 1 2 3 4 5', 7],
    [3, 9, '0 1 2 3 4 5 3 4 5 6 7 8', 10],
    [2, 2, '0 1 0 1', 2],
    [2, 4, '0 1 0 1 2 3', 4],
    [2, 6, '0 1 2 3 2 3 4 5', 6],
    [2, 8, '0 1 2 3 2 3 4 5 6 7', 8],
    [2, 10, '0 1 2 3 4 5 4 5 6 7 8 9', 10],
    [4, 4, '0 1 2 3 0 1 2 3', 6],
    [4, 8, '0 1 2 3 0 1 2 3 4 5 6 7', 10],
  ];
  for (const [block, trainedLayers, map, pairs] of cases) {
    const grown = repeatMiddleBlock(block)(trainedLayers, trainedLayers + block);
    t.equal(grown.join(' '), map);
    t.equal(connected(grown), pairs);
  }
  t.end();
});

t.test('LIDAS repeats the layers around the middle seam', (t) => {
  const cases: [number, number, string][] = [
    [2, 2, '0 1 0 1'],
    [2, 4, '0 1 1 2 2 3'],
    [2, 6, '0 1 2 3 3 4 4 5'],
    [2, 8, '0 1 2 3 3 4 4 5 6 7'],
    [2, 10, '0 1 2 3 4 5 5 6 6 7 8 9'],
    [4, 4, '0 1 2 3 0 1 2 3'],
    [4, 8, '0 1 2 3 2 3 4 5 4 5 6 7'],
  ];
  for (const [block, trainedLayers, map] of cases)
    t.equal(repeatMiddleLayers(block)(trainedLayers, trainedLayers + block).join(' '), map);
  t.throws(() => repeatMiddleLayers(3), { code: 'BAD_ARGUMENT', message: /needs an even one; got 3/ });
  t.end();
});

t.test('the new middle is repeated', (t) => {
  const cases: [number, string][] = [
    [2, '0 1 0 1'],
    [4, '0 1 2 3 2 3'],
    [6, '0 1 2 3 2 3 4 5'],
    [8, '0 1 2 3 4 5 4 5 6 7'],
    [10, '0 1 2 3 4 5 4 5 6 7 8 9'],
  ];
  for (const [trainedLayers, map] of cases)
    t.equal(repeatNewMiddle(2)(trainedLayers, trainedLayers + 2).join(' '), map);
  t.end();
});

t.test('one block is added to whole blocks', (t) => {
  for (const [trainedLayers, depth] of [
    [4, 7],
    [6, 8],
    [3, 3],
  ] as const) {
    t.throws(() => repeatMiddleBlock(3)(trainedLayers, depth), {
      code: 'BAD_ARGUMENT',
      message: /one block of 3 layers/,
    });
  }
  t.end();
});

t.test('stage lengths in proportion to i^alpha', (t) => {
  const rounded = (stages: number, alpha: number) =>
    proportionalFractions(stages, alpha).map((fraction) => Math.round(1000 * fraction) / 1000);
  t.same(rounded(4, 0), [0.25, 0.5, 0.75]);
  t.same(rounded(4, 1), [0.1, 0.3, 0.6]);
  t.same(rounded(4, 2), [0.033, 0.167, 0.467]);
  t.same(rounded(6, 1), [0.048, 0.143, 0.286, 0.476, 0.714]);
  t.same(rounded(2, 1), [0.333]);
  t.same(rounded(1, 1), []);
  t.end();
});
