/** SwiGLU in bf16 takes a coarse sigmoid: what is stored is nearly the rounding of the exact value, for every gate. */
import t from 'tap';
import { gradients } from '../../lib/engine/autodiff.js';
import { fromBfloat16 } from '../../lib/engine/dtype.js';
import { Graph } from '../../lib/engine/graph.js';
import { cast, sum, swiglu } from '../../lib/engine/ops/index.js';
import { testDevice } from '../device.js';

const device = await testDevice();
t.teardown(() => device.close());

/** Every bf16 whose silu is a normal number. */
const gates = fromBfloat16(Uint16Array.from({ length: 1 << 16 }, (_, bits) => bits)).filter(
  (gate) => Math.abs(gate) > 1e-30 && Math.abs(gate) < 78,
);

/** The largest error of `found` in units of the last place of a bf16 at the exact value. */
function unitsOff(found: Float32Array, exact: (gate: number) => number, among = (_gate: number) => true): number {
  const units = Array.from(gates, (gate, i) => {
    const expected = exact(gate);
    const unit = 2 ** (Math.floor(Math.log2(Math.abs(expected))) - 7);
    return among(gate) ? Math.abs((found[i] as number) - expected) / unit : 0;
  });
  return units.reduce((a, b) => Math.max(a, b));
}

t.test('silu and its derivative in bf16', async (t) => {
  const graph = new Graph();
  const x = graph.input('x', [1, 2 * gates.length]);
  const y = cast(swiglu(cast(x, 'bf16')), 'f32');
  graph.output('silu', y);
  graph.output('derivative', gradients(sum(y), [x])[0]!);
  using program = await device.compile(graph, {});
  const ones = new Float32Array(gates.length).fill(1);
  const { outputs } = await program.run({ x: Float32Array.of(...gates, ...ones) });

  const sigmoid = (gate: number) => 1 / (1 + Math.exp(-gate));
  const derivative = (gate: number) => sigmoid(gate) * (1 + gate * sigmoid(-gate));
  const silu = unitsOff(outputs.silu as Float32Array, (gate) => gate * sigmoid(gate));
  t.ok(silu < 0.65, `silu is ${silu} units off`); // 0.5 is the rounding itself
  const slope = unitsOff(outputs.derivative as Float32Array, derivative, (gate) => Math.abs(gate + 1.278) > 0.4);
  t.ok(slope < 0.65, `the derivative is ${slope} units off where it is not near 0`);
});
