// Every gradient rule against central differences, both in float64 on the reference interpreter: no device involved.
import t from 'tap';
import { lower } from '../../lib/engine/lowering.js';
import { relativeError } from '../cases/compare.js';
import { opCases } from '../cases/ops.js';
import { traceCase, withGradients } from '../cases/trace.js';
import { interpret } from '../reference/interpreter.js';

/** Elements of an input that are perturbed: all of a small one, else this many spread over it. */
const samples = 12;
const step = 1e-5;

for (const opCase of opCases) {
  if (opCase.differentiable.length === 0) continue;
  t.test(`${opCase.name}: the gradient is the slope of the loss`, async (t) => {
    const traced = traceCase(opCase, 'f32');
    const weights = withGradients(traced, opCase.differentiable);
    const lossOnly = traceCase(opCase, 'f32');
    const { graph } = lossOnly;
    withGradients(lossOnly, []);
    const [full, short] = [lower(traced.graph), lower(graph)];
    const feeds = { ...traced.data, ...weights } as Record<string, Float32Array | Int32Array>;
    const results = interpret(
      full.desc,
      [],
      full.inputs.map(({ name }) => feeds[name]!),
    );
    for (const name of opCase.differentiable) {
      const slot = full.outputs.findIndex((output) => output.name === `gradient of ${name}`);
      const values = Float64Array.from(feeds[name]!);
      const stride = Math.max(1, Math.floor(values.length / samples));
      const picked = [...values.keys()].filter((i) => i % stride === 0);
      const slopes = picked.map((i) => {
        const loss = [step, -step].map((delta) => {
          const moved = values.slice();
          moved[i]! += delta;
          return interpret(
            short.desc,
            [],
            short.inputs.map((input) => (input.name === name ? moved : feeds[input.name]!)),
          )[0]![0]!;
        });
        return (loss[0]! - loss[1]!) / (2 * step);
      });
      const error = relativeError(
        picked.map((i) => results[slot]![i]!),
        slopes,
      );
      t.ok(error <= 1e-6, `by ${name}: error ${error.toExponential(1)}`);
    }
  });
}
