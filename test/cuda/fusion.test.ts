// Rewrites of programs: which instructions disappear, and that the results stay those of the reference.
import t, { type Test } from 'tap';
import { type Device, openDevice } from '../../lib/engine/device.js';
import { Graph, type Tensor } from '../../lib/engine/graph.js';
import {
  accumulateGradients,
  add,
  columnSum,
  gelu,
  gradients,
  matmul,
  ParameterStore,
  reshape,
  residualNorm,
} from '../../lib/engine/index.js';
import { lower } from '../../lib/engine/lowering.js';
import { geluBackward } from '../../lib/engine/ops/activation.js';
import { relativeError } from '../cases/compare.js';
import { caseData } from '../cases/trace.js';
import { cudaDevices } from '../device.js';
import { interpret } from '../reference/interpreter.js';

interface Traced {
  readonly graph: Graph;
  readonly data: Record<string, Float32Array | Int32Array>;
}

class Tracer implements Traced {
  readonly graph = new Graph();
  readonly data: Record<string, Float32Array | Int32Array> = {};

  input(name: string, shape: number[], dtype: 'f32' | 'bf16' = 'bf16'): Tensor {
    const seed = Object.keys(this.data).length + 1;
    this.data[name] = caseData({ shape, role: 'activation', low: -2, high: 2 }, dtype, seed);
    return this.graph.input(name, shape, dtype);
  }
  rng(): Tensor {
    this.data.rng = Int32Array.of(5, 6, 7, 8);
    return this.graph.rng();
  }
}

/** Runs a program with and without recording; returns the ops that took time, and checks the outputs. */
async function opsThatRan(t: Test, device: Device, { graph, data }: Traced, tolerance = 2e-2): Promise<string[]> {
  const { desc, inputs, outputs } = lower(graph);
  const expected = interpret(
    desc,
    [],
    inputs.map(({ name }) => data[name]!),
  );
  const program = await device.compile(graph);
  const { profile, outputs: first } = await program.run(data, { profile: true });
  await program.run(data);
  const { outputs: replayed } = await program.run(data);
  outputs.forEach(({ name }, slot) => {
    const error = relativeError(first[name]!, expected[slot]!);
    t.ok(error <= tolerance, `${name}: error ${error.toExponential(1)}`);
    t.same(replayed[name], first[name], `${name}: the same bits from the graph`);
  });
  program.dispose();
  return profile!.filter(({ ns }) => ns > 0).map(({ op }) => op);
}

for (const { name, skip, open } of cudaDevices) {
  t.test(name, { skip }, async (t) => {
    const device = await open();
    t.teardown(() => device.close());

    await t.test('a bias gradient rides on the backward pass of GELU', async (t) => {
      for (const tanh of [false, true]) {
        const trace = new Tracer();
        const dx = geluBackward(trace.input('dy', [3, 70, 40]), trace.input('x', [3, 70, 40]), tanh);
        trace.graph.output('dx', dx);
        trace.graph.output('sum', columnSum(dx));
        const ran = await opsThatRan(t, device, trace);
        t.same(ran, ['geluBackward', 'cast'], 'columnSum is no kernel of its own');
      }
      const odd = new Tracer();
      const dx = geluBackward(odd.input('dy', [9, 7]), odd.input('x', [9, 7]), true);
      odd.graph.output('sum', columnSum(dx));
      t.same(await opsThatRan(t, device, odd), ['geluBackward', 'columnSum'], 'rows that are no whole packs');
    });

    await t.test('the sum before a norm and the bias gradient after it ride on its backward pass', async (t) => {
      for (const p of [0, 0.25]) {
        const trace = new Tracer();
        const shape = [4, 33, 48];
        const [x, residual] = [trace.input('x', shape), trace.input('residual', shape)];
        const [w, b] = [trace.input('w', [48], 'f32'), trace.input('b', [48], 'f32')];
        if (p > 0) trace.rng();
        const bias = trace.input('bias', [48], 'f32');
        const { y } = residualNorm(add(x, bias.cast('bf16')), residual, w, b, { p });
        const loss = add(y.mul(trace.input('g1', shape)), y.mul(trace.input('g2', shape)).scale(0.5));
        const dBias = lossGradients(loss, [bias, residual, w, b]);
        for (const [i, gradient] of dBias.entries()) trace.graph.output(`gradient ${i}`, gradient);
        const ran = await opsThatRan(t, device, trace, 4e-2);
        t.notOk(ran.includes('columnSum'), `p ${p}: no kernel for the bias gradient`);
        t.equal(ran.filter((op) => op === 'residualNormBackward').length, 1);
      }
    });

    await t.test('a product with GELU after it: both ways', async (t) => {
      for (const way of ['fused', 'separate']) {
        process.env.APOLLO_MATMUL_EPILOGUES = way;
        const trace = new Tracer();
        const [x, w1, w2] = [trace.input('x', [50, 24]), trace.input('w1', [24, 64]), trace.input('w2', [64, 24])];
        const b1 = trace.input('b1', [64], 'f32');
        const hidden = gelu(matmul(x.scale(0.25), w1, { bias: b1 }), { tanh: true });
        const y = matmul(hidden, w2.scale(0.25));
        trace.graph.output('y', y);
        const gradients = lossGradients(y.mul(trace.input('g', [50, 24])), [x, w1, w2, b1]);
        for (const [i, gradient] of gradients.entries()) trace.graph.output(`gradient ${i}`, gradient);
        const ran = await opsThatRan(t, device, trace, 4e-2);
        t.notOk(ran.includes('gelu') || ran.includes('columnSum'), `${way}: ${ran.join(' ')}`);
        delete process.env.APOLLO_MATMUL_EPILOGUES;
      }
    });

    await t.test('a product whose result is seen with other rows before GELU is a kernel of its own', async (t) => {
      const trace = new Tracer();
      const [x, w1, w2] = [trace.input('x', [2, 8, 16]), trace.input('w1', [16, 32]), trace.input('w2', [64, 24])];
      const hidden = gelu(matmul(x.scale(0.25), w1), { tanh: true });
      const y = matmul(reshape(hidden, [2, 4, 64]), w2.scale(0.25));
      trace.graph.output('y', y);
      const gradients = lossGradients(y.mul(trace.input('g', [2, 4, 24])), [x, w1, w2]);
      for (const [i, gradient] of gradients.entries()) trace.graph.output(`gradient ${i}`, gradient);
      const ran = await opsThatRan(t, device, trace, 4e-2);
      t.equal(ran.filter((op) => op === 'matmul').length, 6, ran.join(' '));
      t.ok(ran.includes('geluBackward'));
    });

    await t.test('gradients of parameters: one kernel for weight and bias, added to by each run', async (t) => {
      const cpu = await openDevice({ threads: 1 });
      t.teardown(() => cpu.close());
      const expected = await twoLayers(cpu, 1);
      for (const way of ['fused', 'separate']) {
        process.env.APOLLO_MATMUL_EPILOGUES = way;
        for (const runs of [1, 3]) {
          const { gradients, ran } = await twoLayers(device, runs);
          for (const [name, gradient] of Object.entries(gradients)) {
            const once = expected.gradients[name]!.map((v) => runs * v);
            const error = relativeError(gradient, once);
            t.ok(error < 2e-2, `${way}, ${name} after ${runs} runs: error ${error.toExponential(1)}`);
          }
          t.notOk(ran.includes('columnSum'), `${way}: ${ran.join(' ')}`);
        }
        delete process.env.APOLLO_MATMUL_EPILOGUES;
      }
      t.ok(expected.ran.includes('columnSum'), 'the CPU has no such rewrites');
    });
  });
}

/** The gradients that `runs` runs of two layers add up to, and the ops that took time. */
async function twoLayers(
  device: Device,
  runs: number,
): Promise<{ gradients: Record<string, Float32Array>; ran: string[] }> {
  const store = new ParameterStore(device, { precision: 'bf16' });
  const g = new Graph();
  const shapes = { w: [16, 32], b: [32], v: [32, 8], c: [8] } as const;
  for (const [name, shape] of Object.entries(shapes)) {
    store.declare({ name, shape, workingCopy: shape.length === 2, decay: false });
    const values = caseData({ shape, role: 'vector', low: -0.5, high: 0.5 }, 'f32', shape.length);
    await store.write(name, values as Float32Array);
  }
  const x = g.input('x', [40, 16], 'bf16');
  const hidden = gelu(matmul(x, g.parameter('w', [16, 32], 'bf16'), { bias: g.parameter('b', [32]) }), { tanh: true });
  const y = matmul(hidden, g.parameter('v', [32, 8], 'bf16'), { bias: g.parameter('c', [8]) });
  accumulateGradients(y.cast('f32').square().mean());
  const program = await device.compile(g, { store });
  const data = { x: caseData({ shape: [40, 16], role: 'activation', low: -1, high: 1 }, 'bf16', 9) };
  const ran = new Set<string>();
  for (let run = 0; run < runs; run++) {
    const { profile } = await program.run(data, { profile: run === 0 });
    for (const { op, ns } of profile ?? []) if (ns > 0) ran.add(op);
  }
  const gradients: Record<string, Float32Array> = {};
  for (const name of Object.keys(shapes)) gradients[name] = await store.gradient(name);
  program.dispose();
  store.dispose();
  return { gradients, ran: [...ran] };
}

/** Gradients of the sum of a bf16 tensor. */
function lossGradients(y: Tensor, wrt: readonly Tensor[]): Tensor[] {
  return gradients(y.cast('f32').sum(), wrt);
}
