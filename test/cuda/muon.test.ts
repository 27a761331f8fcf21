/** The paths of muon.cu against the CPU: packs and single elements, wide, tall and square, fused, several chunks and batches. */
import t from 'tap';
import { noCuda, noisy, type Operand, Pair } from './op-pair.js';

/** [inputs, widths of the matrices side by side]. */
const tensors: readonly (readonly [number, readonly number[]])[] = [
  [12, [40]],
  [40, [12]],
  [16, [16, 16, 16]],
  [16, [16]],
  [9, [9, 5, 5]],
  [1, [7]],
  [80, [72]],
];
const shapes = tensors.map(([inputs, widths]) => [inputs, widths.reduce((a, b) => a + b)]);

t.test('updates with and without decay, clipping, bf16 copy and Nesterov', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  for (const [title, norm, maxNorm, attrs, tolerance] of [
    ['f32', 3, 1, { precision: 'f32', adjust: 'match_rms_adamw', nesterov: true, iterations: 5 }, 2e-5],
    ['original, plain momentum', 3, 0, { precision: 'f32', adjust: 'original', nesterov: false, iterations: 2 }, 2e-5],
    // Both round the products' inputs to bf16, but sum in different orders: a rounding may fall the other way.
    ['bf16', 3, 1, { precision: 'bf16', adjust: 'original', nesterov: true, iterations: 5 }, 5e-2],
    ['skipped', Infinity, 1, { precision: 'f32', adjust: 'original', nesterov: true, iterations: 5 }, 0],
    ['skipped for NaN', NaN, 1, { precision: 'bf16', adjust: 'original', nesterov: true, iterations: 5 }, 0],
  ] as const) {
    const shadows = tensors.map((_, i) => i % 2);
    const call = {
      op: 'muon',
      attrs: {
        ...attrs,
        decay: tensors.map((_, i) => Number(i % 3 > 0)),
        hasShadow: shadows,
        parts: tensors.map(([, widths]) => widths.length),
        widths: tensors.flatMap(([, widths]) => widths),
      },
      inputs: [
        { dtype: 'f32', shape: [5], values: Float32Array.of(0.1, 0.95, 0.1, maxNorm, 0.5) },
        {
          dtype: 'i32',
          shape: [tensors.length],
          values: Int32Array.from(tensors, (_, i) => (i === 3 ? 0 : 1)),
        },
        { dtype: 'f32', shape: [tensors.length], values: Float32Array.from(tensors, (_, i) => 1 + i / 4) },
        { dtype: 'f32', shape: [1], values: Float32Array.of(norm) },
      ] satisfies Operand[],
      outputs: shapes.flatMap((shape, i) => [
        noisy('f32', shape, 10 * i),
        noisy('f32', shape, 10 * i + 1),
        noisy('f32', shape, 10 * i + 2),
        ...(shadows[i] ? [noisy('bf16', shape, 10 * i + 3)] : []),
      ]),
    };
    const outputs = await pair.agree(t, title, call, { tolerance, bf16: Math.max(tolerance, 8e-3) });
    t.ok(
      outputs[1]!.every((g) => g === 0),
      `${title}: gradients are zeroed`,
    );
    const resting = outputs.slice(10, 13); // tensor 3: behind 3 + 4 + 3 outputs
    t.strictSame(resting[0], call.outputs[10]!.values, `${title}: a count of 0 leaves the weights`);
    t.strictSame(resting[2], call.outputs[12]!.values, `${title}: and the momentum`);
  }
});
