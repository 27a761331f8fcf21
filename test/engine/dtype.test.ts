import t from 'tap';
import { fromBfloat16, toBfloat16 } from '../../lib/engine/dtype.js';

const round = (...values: number[]) => [...fromBfloat16(toBfloat16(Float32Array.from(values)))];

t.test('bfloat16 keeps 8 significant bits, ties to even', async (t) => {
  t.strictSame(round(1, -2, 0.5, 1 + 1 / 128), [1, -2, 0.5, 1 + 1 / 128]);
  t.strictSame(round(1 + 1 / 256, 1 + 3 / 256), [1, 1 + 4 / 256]); // halfway: to the even neighbour
  t.strictSame(round(1 + 1 / 256 + 1e-6), [1 + 1 / 128]);
});

t.test('bfloat16 keeps infinities, zeros and NaN', async (t) => {
  t.strictSame(round(Infinity, -Infinity, 0), [Infinity, -Infinity, 0]);
  t.ok(Object.is(round(-0)[0], -0));
  t.ok(Number.isNaN(round(NaN)[0]));
  t.equal(round(3.4e38)[0], Infinity, 'beyond the largest bfloat16');
});

t.test('a view into a larger buffer converts its own part', async (t) => {
  t.strictSame([...toBfloat16(Float32Array.of(9, 1, 2).subarray(1))], [0x3f80, 0x4000]);
});
