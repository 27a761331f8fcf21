/** shape.cu beyond the op cases: words of every width, tiles and what is left of them, against the CPU, bit for bit. */
import t from 'tap';
import { noCuda, noisy, Pair } from './op-pair.js';

const dtypes = ['f32', 'bf16'] as const;
const exact = { tolerance: 0, bf16: 0 };

t.test('kernels that move elements', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());

  const move = (name: string, op: string, attrs: object, from: readonly (readonly number[])[], to: readonly number[]) =>
    t.test(name, async (t) => {
      for (const dtype of dtypes) {
        const inputs = from.map((shape, i) => noisy(dtype, shape, i + 1, -9, 9));
        const call = { op, attrs: { ...attrs }, inputs, outputs: [{ dtype, shape: to }] };
        await pair.agree(t, `${op} ${dtype}`, call, exact);
      }
    });
  const transpose = (shape: readonly number[], perm: readonly number[]) =>
    move(
      `transpose of [${shape}] by ${perm}`,
      'transpose',
      { perm },
      [shape],
      perm.map((axis) => shape[axis]!),
    );
  const slice = (shape: readonly number[], starts: readonly number[], sizes: readonly number[]) => {
    move(`[${sizes}] of [${shape}] from ${starts} on`, 'slice', { starts }, [shape], sizes);
    move(`[${sizes}] in [${shape}] from ${starts} on`, 'unslice', { starts }, [sizes], shape);
  };
  const broadcast = (from: readonly number[], to: readonly number[]) =>
    move(`[${from}] stretched to [${to}]`, 'broadcast', {}, [from], to);

  // Full tiles, tiles cut at both sides, rows at odd addresses, several matrices, axes outside of them.
  transpose([128, 64], [1, 0]);
  transpose([70, 41], [1, 0]);
  transpose([2, 33, 3, 72], [0, 2, 3, 1]);
  transpose([3, 10, 2, 9], [3, 2, 1, 0]);
  transpose([11, 4, 50], [2, 1, 0]);
  // Too narrow for tiles; the last axis stays, in words of 16, 8, 4 and 2 bytes.
  transpose([300, 3], [1, 0]);
  transpose([3, 300], [1, 0]);
  transpose([2, 5, 3, 16], [0, 2, 1, 3]);
  transpose([4, 3, 12], [1, 0, 2]);
  transpose([4, 3, 6], [1, 0, 2]);
  transpose([4, 3, 5], [1, 0, 2]);

  broadcast([], [1000]);
  broadcast([5, 1], [5, 64]);
  broadcast([5, 1], [5, 9]);
  broadcast([1, 24], [7, 24]);
  broadcast([3, 1, 4, 1], [3, 2, 4, 6]);

  slice([6, 40, 16], [2, 0, 0], [3, 40, 16]);
  slice([6, 40, 16], [0, 8, 0], [6, 16, 16]);
  slice([40, 64], [0, 16], [40, 32]);
  slice([40, 64], [3, 15], [8, 5]);
  slice([7, 9], [1, 2], [5, 3]);
  slice([5000], [3], [4096]);
  slice([4, 5, 6, 7], [1, 1, 1, 1], [2, 3, 4, 5]);

  const joined = (axis: number, ...parts: number[][]) => {
    const total = parts.reduce((sum, shape) => sum + shape[axis]!, 0);
    move(`[${parts.join('] [')}] joined along ${axis}`, 'concat', { axis }, parts, parts[0]!.with(axis, total));
  };
  joined(1, [6, 16], [6, 8], [6, 24]);
  joined(1, [6, 5], [6, 1], [6, 4]);
  joined(0, [2, 12, 3], [3, 12, 3]);
});
