/** The paths of optimizer.cu against the CPU: many tensors, several chunks of one, ends that are no whole packs. */
import t from 'tap';
import { noCuda, noisy, type Operand, Pair, runOp } from './op-pair.js';

const shapes = [[5], [16_384 + 8192 + 7], [3, 1000], [1], [0], [8192], [9, 11]];

const countsOf = (counts: readonly number[]): Operand => ({
  dtype: 'i32',
  shape: [counts.length],
  values: Int32Array.from(counts),
});

t.test('the norm of many gradients', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  const norm: Operand = { dtype: 'f32', shape: [1] };
  for (const scale of [1, 1e25, 1e-25]) {
    const gradients = shapes.map((shape, i) => noisy('f32', shape, i + 1, -scale, scale));
    const inputs = [countsOf(shapes.map((_, i) => i % 3)), ...gradients];
    await pair.agree(t, `scale ${scale}`, { op: 'gradNorm', inputs, outputs: [norm] }, { tolerance: 1e-7 });
  }
  await pair.agree(t, 'of nothing', { op: 'gradNorm', inputs: [countsOf([])], outputs: [norm] }, { tolerance: 0 });
  const broken = noisy('f32', [40], 1);
  broken.values![39] = NaN;
  const [nan] = await runOp(pair.cuda, { op: 'gradNorm', inputs: [countsOf([1]), broken], outputs: [norm] });
  t.ok(Number.isNaN(nan![0]));
  const [none] = await runOp(pair.cuda, { op: 'gradNorm', inputs: [countsOf([0]), broken], outputs: [norm] });
  t.equal(none![0], 0, 'of a tensor that does not count');
});

t.test('sums of squares of parts, and the norm of all of them', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  const sizes = [16_384 + 8192 + 7, 3, 2 * 16_384];
  const gradients = sizes.map((size, i) => noisy('f32', [size], i + 1));
  const counts = countsOf([1, 1, 2]);
  const norm: Operand = { dtype: 'f32', shape: [1] };
  const pieces = 2 + 1 + 2;
  // Two ranks: each has some pieces of each tensor, and the sum of what they find is of all.
  const part = (tensor: number, from: number, to: number): Operand => ({
    dtype: 'f32',
    shape: [to - from],
    values: (gradients[tensor]!.values as Float32Array).slice(from, to),
  });
  const ranks = [
    { parts: [part(0, 0, 16_384), part(2, 0, 16_384)], tensors: [0, 2], places: [0, 3] },
    {
      parts: [part(0, 16_384, sizes[0]!), part(1, 0, 3), part(2, 16_384, sizes[2]!)],
      tensors: [0, 1, 2],
      places: [1, 2, 4],
    },
  ];
  const sums = new Float64Array(pieces);
  for (const { parts, tensors, places } of ranks) {
    const outputs: Operand[] = [{ dtype: 'i32', shape: [2 * pieces] }];
    const call = { op: 'squares', attrs: { tensors, places }, inputs: [counts, ...parts], outputs };
    const [bits] = await runOp(pair.cuda, call);
    for (const [i, sum] of new Float64Array((bits as Int32Array).slice().buffer).entries()) sums[i]! += sum;
    const none = await runOp(pair.cuda, { ...call, inputs: [countsOf([0, 0, 0]), ...parts] });
    t.ok(
      (none[0] as Int32Array).every((word) => word === 0),
      'of tensors that do not count',
    );
  }
  const all: Operand = { dtype: 'i32', shape: [2 * pieces], values: new Int32Array(sums.buffer) };
  const [together] = await runOp(pair.cuda, { op: 'normOfSquares', inputs: [all], outputs: [norm] });
  const [whole] = await runOp(pair.cuda, { op: 'gradNorm', inputs: [counts, ...gradients], outputs: [norm] });
  t.equal(together![0], whole![0], 'the bits of gradNorm');
  await pair.agree(t, 'as on the CPU', { op: 'normOfSquares', inputs: [all], outputs: [norm] }, { tolerance: 1e-7 });
});

t.test('updates with and without decay, clipping and bf16 copy', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  for (const [title, norm, maxNorm, tolerance] of [
    ['clipped', 3, 1, 1e-6],
    ['not clipped', 3, 0, 1e-6],
    ['skipped', Infinity, 1, 0],
    ['skipped for NaN', NaN, 1, 0],
  ] as const) {
    const hyper = Float32Array.of(0.01, 0.9, 0.999, 1e-8, 0.1, maxNorm, 0.5);
    const shadows = shapes.map((_, i) => i % 2);
    const call = {
      op: 'adamw',
      attrs: { decay: shapes.map((_, i) => Number(i % 3 > 0)), hasShadow: shadows },
      inputs: [
        { dtype: 'f32', shape: [7], values: hyper },
        countsOf(shapes.map((_, i) => (i === 2 ? 0 : 1 + i * 700))),
        { dtype: 'f32', shape: [shapes.length], values: Float32Array.from(shapes, (_, i) => 1 + i / 4) },
        { dtype: 'f32', shape: [1], values: Float32Array.of(norm) },
      ] satisfies Operand[],
      outputs: shapes.flatMap((shape, i) => [
        noisy('f32', shape, 10 * i),
        noisy('f32', shape, 10 * i + 1),
        noisy('f32', shape, 10 * i + 2),
        noisy('f32', shape, 10 * i + 3, 0, 1),
        ...(shadows[i] ? [noisy('bf16', shape, 10 * i + 4)] : []),
      ]),
    };
    const outputs = await pair.agree(t, title, call, { runs: 2, tolerance });
    t.ok(
      outputs[1]!.every((g) => g === 0),
      `${title}: gradients are zeroed`,
    );
  }
});
