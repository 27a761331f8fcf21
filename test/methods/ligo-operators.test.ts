// The worked examples of LiGO's operators, by hand. Weights are [inputs, outputs]: the transposes of the paper's.
import t, { type Test } from 'tap';
import { evaluate, type Graph, type Tensor } from '../../lib/engine/index.js';
import { interpolate } from '../../lib/growth/index.js';
import { blendLayers, operatorFlops, widenInputs, widenOutputs } from '../../lib/methods/ligo-operators.js';
import { testDevice } from '../device.js';

const device = await testDevice({ threads: 1 });
t.teardown(() => device.close());

type Data = Record<string, { shape: number[]; values: number[] }>;

async function values(data: Data, build: (x: Record<string, Tensor>) => Tensor): Promise<number[]> {
  const trace = (graph: Graph) =>
    build(Object.fromEntries(Object.entries(data).map(([name, { shape }]) => [name, graph.input(name, shape)])));
  const feeds = Object.fromEntries(Object.entries(data).map(([name, entry]) => [name, entry.values]));
  return [...((await evaluate(trace, feeds, { device })) as Float32Array)];
}

function near(
  t: Pick<Test, 'equal' | 'ok'>,
  actual: readonly number[],
  expected: readonly number[],
  message = 'values',
): void {
  t.equal(actual.length, expected.length, message);
  expected.forEach((x, i) => t.ok(Math.abs(actual[i]! - x) < 1e-6, `${message} ${i}: ${actual[i]}, not ${x}`));
}

t.test('B W A^T with W = 2, A = (1, 1/2), B = (1, 1/4)', async (t) => {
  const wide = await values(
    {
      w: { shape: [1, 1], values: [2] },
      a: { shape: [1, 1], values: [0.5] },
      b: { shape: [1, 1], values: [0.25] },
    },
    ({ w, a, b }) => widenOutputs(widenInputs(w!, a!), b!),
  );
  near(t, wide, [2, 0.5, 1, 0.25]); // [[2, 1], [1/2, 1/4]], transposed
});

t.test('a rectangle: rows [W; S_in W], then columns [X, X S_out^T]', async (t) => {
  const w = { shape: [2, 3], values: [1, 2, 3, 4, 5, 6] };
  const a = { shape: [1, 2], values: [10, 1] };
  const b = { shape: [2, 3], values: [1, 0, 0, 0, 1, -1] };
  const bias = { shape: [3], values: [7, 8, 9] };
  // S_in W = 10 (1 2 3) + (4 5 6) = (14 25 36)
  near(t, await values({ w, a }, (x) => widenInputs(x.w!, x.a!)), [1, 2, 3, 4, 5, 6, 14, 25, 36]);
  const both = await values({ w, a, b }, (x) => widenOutputs(widenInputs(x.w!, x.a!), x.b!));
  near(t, both, [1, 2, 3, 1, -1, 4, 5, 6, 4, -1, 14, 25, 36, 14, -11]);
  near(t, await values({ bias, b }, (x) => widenOutputs(x.bias!, x.b!)), [7, 8, 9, 7, -1], 'bias');
});

// The widened first layer of the example and a second one, diag(4, 4).
const layers = { shape: [2, 2, 2], values: [2, 1, 0.5, 0.25, 4, 0, 0, 4] };

t.test('three layers out of two', async (t) => {
  for (const [weights, expected] of [
    [
      [0.9, 0.1],
      [2.2, 0.9, 0.45, 0.625],
    ],
    [
      [0.2, 0.8],
      [3.6, 0.2, 0.1, 3.25],
    ],
    [
      [1, 0],
      [2, 1, 0.5, 0.25],
    ],
  ] as const) {
    const data = { layers, w: { shape: [2], values: [...weights] } };
    near(t, await values(data, (x) => blendLayers(x.w!, x.layers!)), expected, weights.join());
  }
});

t.test('weights of 0 and 1 stack or interpolate layers', async (t) => {
  const three = { shape: [3, 2], values: [1, 2, 3, 4, 5, 6] };
  for (const map of [interpolate(3, 6), [0, 1, 2, 0, 1, 2]]) {
    for (const unit of map) {
      const w = { shape: [3], values: [0, 1, 2].map((j) => (j === unit ? 1 : 0)) };
      const layer = await values({ three, w }, (x) => blendLayers(x.w!, x.three!));
      t.same(layer, three.values.slice(2 * unit, 2 * unit + 2));
    }
  }
});

t.test('selections with normalised inputs are Net2Net: the function stays', async (t) => {
  // y = (x W1) W2 through 2 units; units 0 and 1 become 0 1 0. LiGO's one S for both sides gives W2's new row as a copy;
  // with the copies' inputs divided by their number the product is the same.
  const w1 = { shape: [2, 2], values: [1, 2, 3, 4] };
  const w2 = { shape: [2, 1], values: [5, 6] };
  const s = { shape: [1, 2], values: [1, 0] };
  const wide = await values({ w1, s }, (x) => widenOutputs(x.w1!, x.s!));
  near(t, wide, [1, 2, 1, 3, 4, 3], 'the new column is a copy');
  const deep = await values({ w2, s }, (x) => widenInputs(x.w2!, x.s!));
  near(t, deep, [5, 6, 5], 'the new row is a copy');
  const counts = [2, 1, 2];
  const product = (row: number) =>
    [0, 1, 2].reduce((sum, unit) => sum + (wide[3 * row + unit]! * deep[unit]!) / counts[unit]!, 0);
  near(t, [product(0), product(1)], [1 * 5 + 2 * 6, 3 * 5 + 4 * 6]);
});

t.test('FLOPs are two for each multiply-add', (t) => {
  // 3 layers of [4, 5]: 2*3*20 = 120. One new input: [1, 4] x [4, 5], 40. Two new outputs: [5, 5] x [5, 2], 100.
  t.equal(operatorFlops([4, 5], { layers: 3, inputs: 1, outputs: 2 }), 260);
  t.equal(operatorFlops([5], { layers: 3, inputs: 0, outputs: 2 }), 50); // 30 and [1, 5] x [5, 2]
  t.equal(operatorFlops([7, 5], { layers: 0, inputs: 0, outputs: 0 }), 0);
  t.end();
});
