import t from 'tap';
import { compose, expansions, growThrough, interpolate, stack, stackModulo, stackTop } from '../../lib/growth/maps.js';

const list = (text: string) => text.split(' ').map(Number);

t.test('the maps of every pair that the paper and the release use', (t) => {
  const rows: [number, number, string, string, string?][] = [
    [1, 12, '0 0 0 0 0 0 0 0 0 0 0 0', '0 0 0 0 0 0 0 0 0 0 0 0'],
    [3, 12, '0 0 0 0 1 1 1 1 2 2 2 2', '0 1 2 0 1 2 0 1 2 0 1 2'],
    [6, 12, '0 0 1 1 2 2 3 3 4 4 5 5', '0 1 2 3 4 5 0 1 2 3 4 5'],
    [1, 3, '0 0 0', '0 0 0'],
    [3, 6, '0 0 1 1 2 2', '0 1 2 0 1 2'],
    [3, 4, '0 0 1 2', '0 1 2 2', '0 1 2 0'],
    [3, 5, '0 0 1 1 2', '0 1 2 1 2', '0 1 2 0 1'],
    [3, 7, '0 0 0 1 1 2 2', '0 1 2 0 1 2 2', '0 1 2 0 1 2 0'],
    [3, 8, '0 0 0 1 1 1 2 2', '0 1 2 0 1 2 1 2', '0 1 2 0 1 2 0 1'],
    [3, 11, '0 0 0 0 1 1 1 1 2 2 2', '0 1 2 0 1 2 0 1 2 1 2', '0 1 2 0 1 2 0 1 2 0 1'],
    [6, 7, '0 0 1 2 3 4 5', '0 1 2 3 4 5 5', '0 1 2 3 4 5 0'],
    [6, 8, '0 0 1 2 3 3 4 5', '0 1 2 3 4 5 4 5', '0 1 2 3 4 5 0 1'],
    [6, 9, '0 0 1 2 2 3 4 4 5', '0 1 2 3 4 5 3 4 5', '0 1 2 3 4 5 0 1 2'],
    [6, 10, '0 0 1 1 2 3 3 4 4 5', '0 1 2 3 4 5 2 3 4 5', '0 1 2 3 4 5 0 1 2 3'],
    [6, 11, '0 0 1 1 2 2 3 3 4 4 5', '0 1 2 3 4 5 1 2 3 4 5', '0 1 2 3 4 5 0 1 2 3 4'],
  ];
  for (const [trainedLayers, depth, interpolated, stacked, modulo] of rows) {
    t.same(interpolate(trainedLayers, depth), list(interpolated), `interpolate(${trainedLayers}, ${depth})`);
    t.same(stack(trainedLayers, depth), list(stacked), `stack(${trainedLayers}, ${depth})`);
    t.same(stackModulo(trainedLayers, depth), list(modulo ?? stacked), `stackModulo(${trainedLayers}, ${depth})`);
  }
  t.end();
});

t.test('interpolation is exact where dividing by a float is not', (t) => {
  t.equal(interpolate(14, 18)[9], 7);
  const hazards: number[][] = [];
  for (let depth = 1; depth <= 48; depth++) {
    for (let trainedLayers = 1; trainedLayers <= depth; trainedLayers++) {
      const ratio = depth / trainedLayers;
      interpolate(trainedLayers, depth).forEach((unit, place) => {
        if (unit !== Math.trunc(place / ratio)) hazards.push([trainedLayers, depth, place]);
        if (BigInt(unit) !== (BigInt(place) * BigInt(trainedLayers)) / BigInt(depth))
          t.fail(`${trainedLayers} -> ${depth} at ${place}`);
      });
    }
  }
  t.equal(hazards.length, 17);
  t.same(hazards[0], [14, 18, 9]);
  t.end();
});

t.test('every map is onto, starts as written and never looks ahead', (t) => {
  let checked = 0;
  for (const expand of Object.values(expansions)) {
    for (let depth = 1; depth <= 48; depth++) {
      for (let trainedLayers = 1; trainedLayers <= depth; trainedLayers++) {
        const map = expand(trainedLayers, depth);
        const onto = new Set(map).size === trainedLayers && map.every((unit) => unit >= 0 && unit < trainedLayers);
        // map[j] <= j is what makes copying in place from the top down safe.
        if (map.length !== depth || !onto || map.some((unit, place) => unit > place)) {
          t.fail(`${expand.name}(${trainedLayers}, ${depth}) is [${map}]`);
        }
        checked++;
      }
    }
    t.same(expand(5, 5), [0, 1, 2, 3, 4]);
  }
  t.equal(checked, (3 * 48 * 49) / 2);
  t.end();
});

t.test('a switch does not change the network at any depth', (t) => {
  const continuousAt = (
    expand: (trainedLayers: number, depth: number) => number[],
    from: number,
    to: number,
    last: number,
  ) => {
    const depths = [];
    for (let depth = to; depth <= last; depth++) {
      const before = expand(from, depth);
      if (compose(expand(from, to), expand(to, depth)).join() === before.join()) depths.push(depth);
    }
    return depths;
  };
  for (const expand of [interpolate, stackModulo]) {
    for (let from = 1; from <= 12; from++) {
      for (let to = from; to <= 24; to += from) {
        t.equal(continuousAt(expand, from, to, 48).length, 48 - to + 1, `${expand.name} ${from} -> ${to}`);
      }
    }
  }
  t.same(continuousAt(stack, 3, 6, 12), [6, 7, 8, 9, 12], 'stacking with the remainder on top breaks at 10 and 11');
  t.end();
});

t.test('impossible sizes are refused with both numbers', (t) => {
  for (const expand of Object.values(expansions)) {
    t.throws(() => expand(6, 3), { code: 'BAD_ARGUMENT', message: /trainedLayers 6, depth 3/ });
    t.throws(() => expand(0, 3), { code: 'BAD_ARGUMENT' });
    t.throws(() => expand(1.5, 3), { code: 'BAD_ARGUMENT' });
  }
  t.throws(() => compose([0, 1], [0, 2]), { code: 'BAD_ARGUMENT', message: /layer 2/ });
  t.end();
});

t.test('stacking of the topmost layers', (t) => {
  t.same(stackTop(3, 6), [0, 1, 2, 0, 1, 2]);
  t.same(stackTop(3, 5), [0, 1, 2, 1, 2]);
  t.same(stackTop(6, 9), [0, 1, 2, 3, 4, 5, 3, 4, 5]);
  t.same(stackTop(4, 4), [0, 1, 2, 3]);
  t.throws(() => stackTop(3, 7), { code: 'BAD_ARGUMENT', message: /at most as many layers as there are; got 3 -> 7/ });
  t.end();
});

t.test('growing several times, one after the other', (t) => {
  t.same(growThrough([3], stackModulo), [0, 1, 2]);
  t.same(growThrough([3, 6, 12], stackModulo), stackModulo(3, 12));
  t.same(growThrough([1, 3, 6], interpolate), [0, 0, 0, 0, 0, 0]);
  t.same(growThrough([2, 3, 6], stackTop), [0, 1, 1, 0, 1, 1]); // 0 1 -> 0 1 1, then again
  t.end();
});
