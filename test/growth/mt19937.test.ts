import t from 'tap';
import { Mt19937 } from '../../lib/growth/mt19937.js';
import { lvps } from '../../lib/growth/samplers.js';

t.test("the stream is Python's for seed 42", (t) => {
  const words = new Mt19937(42);
  t.same(
    [1, 2, 3, 4].map(() => words.nextWord()),
    [2746317213, 478163327, 107420369, 3184935163],
  );
  const numbers = new Mt19937(42);
  t.same(
    [1, 2, 3].map(() => numbers.next()),
    [0.6394267984578837, 0.025010755222666936, 0.27502931836911926],
  );
  t.throws(() => new Mt19937(-1), { code: 'BAD_ARGUMENT' });
  t.not(new Mt19937(1).nextWord(), new Mt19937(1 + 2 ** 32).nextWord());
  t.end();
});

t.test('the depths of the released runs come out again', (t) => {
  // 40 logged records: 4 micro-batches with 1 unit, 4 with 3, 12 with 6, the rest at full depth.
  const expected = [1, 8, 1, 2, 3, 3, 3, 8, 6, 12, 8, 6, 12, 9, 6, 6, 8, 6, 6, 12, ...new Array<number>(20).fill(12)];
  const xs = [
    0.639427, 0.025012, 0.27503, 0.223212, 0.736471, 0.6767, 0.89218, 0.08694, 0.421922, 0.029798, 0.218639, 0.505356,
    0.026537, 0.198838, 0.649885, 0.544942, 0.220441, 0.589266, 0.809431, 0.0065,
  ];
  const random = new Mt19937(42);
  expected.forEach((depth, k) => {
    const trainedLayers = k < 4 ? 1 : k < 8 ? 3 : k < 20 ? 6 : 12;
    const x = random.next();
    if (k < 20) t.ok(Math.abs(1e-6 + (1 - 1e-6) * x - (xs[k] as number)) < 1e-6, `x of record ${k}`);
    t.equal(lvps.sample(x, trainedLayers, 12), depth, `record ${k}`);
  });
  t.end();
});
