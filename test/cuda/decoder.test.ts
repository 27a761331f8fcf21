/** The paths of swiglu.cu and rotary.cu that the op cases are too small for, against the CPU. */
import t from 'tap';
import { rotaryFrequencies } from '../../lib/engine/ops/index.js';
import { noCuda, noisy, Pair, runOp } from './op-pair.js';

t.test('swiglu of whole packs and of odd rows', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  for (const [rows, width] of [
    [9, 1024],
    [3, 2056],
    [300, 7],
    [5, 1001],
    [0, 64],
  ] as const) {
    for (const dtype of ['f32', 'bf16'] as const) {
      const [y, x] = [
        { dtype, shape: [rows, width] },
        { dtype, shape: [rows, 2 * width] },
      ];
      const [dy, values] = [noisy(dtype, y.shape, 1), noisy(dtype, x.shape, 2, -9, 9)];
      await pair.agree(t, `swiglu [${rows}, ${width}] ${dtype}`, { op: 'swiglu', inputs: [values], outputs: [y] });
      const backward = { op: 'swigluBackward', inputs: [dy, values], outputs: [x] };
      await pair.agree(t, `swigluBackward [${rows}, ${width}] ${dtype}`, backward);
    }
  }
});

t.test('rotary of heads that a block has no room for', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  const headSize = 65_536;
  const x = noisy('f32', [1, 1, headSize], 1);
  const call = {
    op: 'rotary',
    attrs: { heads: 1, headSize, frequencies: rotaryFrequencies(headSize, 500_000), inverse: false },
    inputs: [x],
    outputs: [{ dtype: 'f32' as const, shape: x.shape }],
  };
  await t.rejects(runOp(pair.cuda, call), {
    code: 'NO_KERNEL',
    message: /^rotary with heads of 65536 needs 262144 bytes of shared memory a block on cuda; this GPU has \d+\./,
  });
});

t.test('rotary of rows longer than a block of threads, far positions, odd halves', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  for (const [headSize, heads, rotated] of [
    [64, 48, 40],
    [128, 24, 24],
    [80, 12, 9],
    [10, 40, 31],
    [256, 3, 1],
  ] as const) {
    for (const dtype of ['f32', 'bf16'] as const) {
      for (const inverse of [false, true]) {
        const x = noisy(dtype, [3, 5, heads * headSize], 1);
        const call = {
          op: 'rotary',
          attrs: { heads: rotated, headSize, frequencies: rotaryFrequencies(headSize, 500_000), inverse },
          inputs: [x, ...(inverse ? [noisy('i32', [3, 5], 2, 0, 200_000)] : [])],
          outputs: [{ dtype, shape: x.shape }],
        };
        // sin and cos of the two libraries differ in the last place.
        await pair.agree(t, `${rotated} of ${heads} heads of ${headSize}, ${dtype}, inverse ${inverse}`, call);
      }
    }
  }
});
