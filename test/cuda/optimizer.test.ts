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
