// Every op case on the device: forward and gradients against the float64 reference, in f32 and bf16; and the support
// matrix: each declared op has a kernel and is exercised by a case.
import t, { type Test } from 'tap';
import { accumulateGradients } from '../../lib/engine/autodiff.js';
import { lower } from '../../lib/engine/lowering.js';
import { opRegistry } from '../../lib/engine/ops/index.js';
import { ParameterStore } from '../../lib/engine/parameters.js';
import { relativeError } from '../cases/compare.js';
import { opCases } from '../cases/ops.js';
import { caseStates, type FloatDType, type TracedCase, traceCase, weighedLoss, withGradients } from '../cases/trace.js';
import { testDevice } from '../device.js';
import { interpret } from '../reference/interpreter.js';

const device = await testDevice({ threads: 2 });
t.teardown(() => device.close());
const hasKernels = new Set(device.info().ops);
const covered = new Set<string>();
/** The ops of optimizers are in no graph; their own tests hold them against the reference, or against each other. */
const ofOptimizers = ['gradNorm', 'adamw', 'muon', 'squares', 'normOfSquares'];

// f32: sums of up to some hundred rounded terms. bf16: inputs are exact, so what is left is one rounding of each
// intermediate (2^-9 relative) and its way through the op. Gradients pass through more roundings.
const forwardTolerance = { f32: 1e-5, bf16: 2e-2 };
const gradientTolerance = { f32: 1e-4, bf16: 5e-2 };

/** The case's graph on device and in float64; the largest relative error of each output, by name. */
async function errors(traced: TracedCase, weights: Record<string, Float32Array>): Promise<Record<string, number>> {
  const lowered = lower(traced.graph);
  for (const { op } of lowered.desc.instructions) covered.add(op);
  const feeds = { ...traced.data, ...weights };
  const inputs = Object.fromEntries(lowered.inputs.map(({ name }) => [name, feeds[name]!]));
  const expected = interpret(
    lowered.desc,
    lowered.buffers.map(({ name }) => Float64Array.from(feeds[name]!)),
    lowered.inputs.map(({ name }) => feeds[name]!),
  );
  using states = await caseStates(device, traced);
  const program = await device.compile(traced.graph, { states });
  const { outputs } = await program.run(inputs);
  program.dispose();
  return Object.fromEntries(
    lowered.outputs.map(({ name }, slot) => [name, relativeError(outputs[name]!, expected[slot]!)]),
  );
}

function within(t: Test, found: Record<string, number>, tolerance: number): void {
  for (const [name, error] of Object.entries(found)) {
    t.ok(error <= tolerance, `${name}: error ${error.toExponential(1)}, allowed ${tolerance}`);
  }
}

for (const opCase of opCases) {
  for (const dtype of opCase.dtypes) {
    t.test(`${opCase.name}, ${dtype}`, async (t) => {
      const forward = traceCase(opCase, dtype);
      for (const [name, tensor] of Object.entries(forward.outputs)) forward.graph.output(name, tensor);
      within(t, await errors(forward, {}), opCase.tolerance?.[dtype] ?? forwardTolerance[dtype]);
      if (opCase.differentiable.length === 0) return;

      const backward = traceCase(opCase, dtype);
      const weights = withGradients(backward, opCase.differentiable);
      within(t, await errors(backward, weights), gradientTolerance[dtype]);
      await accumulated(t, opCase, dtype);
    });
  }
}

/** As a parameter, each differentiable input collects its gradient in the store: two runs give twice the gradient. */
async function accumulated(t: Test, opCase: (typeof opCases)[number], dtype: FloatDType): Promise<void> {
  const traced = traceCase(opCase, dtype, { parameters: true });
  const { loss, weights } = weighedLoss(traced);
  const names = accumulateGradients(loss);
  const lowered = lower(traced.graph);
  for (const { op } of lowered.desc.instructions) covered.add(op);
  const store = new ParameterStore(device, { precision: dtype });
  for (const [name, tensor] of traced.graph.parameters) {
    store.declare({ name, shape: tensor.shape, workingCopy: tensor.dtype === 'bf16', decay: false });
    await store.write(name, traced.data[name] as Float32Array);
  }
  const feeds = { ...traced.data, ...weights };
  const memory = lowered.buffers.map(({ kind, name }) =>
    kind === 'gradient' ? new Float64Array(feeds[name]!.length) : Float64Array.from(feeds[name]!),
  );
  const program = await device.compile(traced.graph, { store });
  const inputs = Object.fromEntries(lowered.inputs.map(({ name }) => [name, feeds[name]!]));
  for (let run = 0; run < 2; run++) {
    interpret(
      lowered.desc,
      memory,
      lowered.inputs.map(({ name }) => feeds[name]!),
    );
    await program.run(inputs);
  }
  const found: Record<string, number> = {};
  for (const name of names) {
    const slot = lowered.buffers.findIndex((buffer) => buffer.kind === 'gradient' && buffer.name === name);
    found[`accumulated gradient of ${name}`] = relativeError(await store.gradient(name), memory[slot]!);
  }
  within(t, found, gradientTolerance[dtype]);
  store.dispose();
}

t.test('every op has a kernel on the device and a case that runs it', async (t) => {
  for (const [name, op] of opRegistry()) {
    if (op.virtual) continue;
    t.ok(hasKernels.has(name), `${name} has a kernel`);
    if (!ofOptimizers.includes(name)) t.ok(covered.has(name), `${name} has a case`);
  }
  for (const name of hasKernels) t.ok(opRegistry().has(name), `kernel ${name} is declared`);
});
