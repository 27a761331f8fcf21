import t from 'tap';
import { updateOf } from '../../lib/train/updates.js';

const network = (layers: number[]) => [
  'table',
  ...layers.flatMap((layer) => [`layer.${layer}.a`, `layer.${layer}.b`]),
  'norm',
];
const plan = (layerMap: number[], more = {}) => ({ trainedLayers: 4, depth: layerMap.length, layerMap, ...more });

t.test('a step that skips layers takes the names of all, with the skipped ones inactive', (t) => {
  const all = network([0, 1, 2, 3]);
  for (const kept of [[1, 3], [3, 0], [2]]) {
    const names = network(kept);
    const { names: taken, options } = updateOf({ names, byPlace: true }, plan(kept));
    t.same(taken, all);
    t.same(
      all.filter((name) => options.active?.(name)),
      all.filter((name) => names.includes(name)),
    );
  }
  t.same(updateOf({ names: all, byPlace: true }, plan([0, 1, 2, 3])), { names: all, options: {} });
  t.end();
});

t.test("a method's own rules", (t) => {
  const names = network([0, 2]);
  const updates = (name: string) => name !== 'table';
  const { options } = updateOf({ names, byPlace: true }, plan([0, 2], { updates, layerRates: [1, 2, 3, 4] }));
  t.same(
    names.map((name) => options.active?.(name)),
    [false, true, true, true, true, true],
  );
  t.same(
    names.map((name) => options.rateFactor?.(name)),
    [1, 1, 1, 3, 3, 1],
  );
  const rateFactor = () => 0.5;
  t.equal(updateOf({ names, byPlace: true }, plan([0, 2], { rateFactor })).options.rateFactor, rateFactor);
  t.end();
});

t.test('where a method freezes by name, or weights are expressions, names stay as they are', (t) => {
  const names = network([0, 2]);
  t.equal(updateOf({ names, byPlace: true }, plan([0, 2], { trainable: () => true })).names, names);
  t.equal(updateOf({ names, byPlace: false }, plan([0, 2])).names, names);
  t.end();
});
