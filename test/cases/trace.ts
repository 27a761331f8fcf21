/** Turns op cases into graphs and input data; shared by the tests and bench/ops. */
import { gradients } from '../../lib/engine/autodiff.js';
import type { Device } from '../../lib/engine/device.js';
import { type DType, fromBfloat16, toBfloat16 } from '../../lib/engine/dtype.js';
import { Graph, Tensor } from '../../lib/engine/graph.js';
import { add, cast, mul, sum } from '../../lib/engine/ops/index.js';
import { size } from '../../lib/engine/shape.js';
import { StateStore } from '../../lib/engine/state.js';
import { philox4x32 } from '../../lib/random/philox.js';
import type { CaseInput, OpCase } from './ops.js';

export type FloatDType = 'f32' | 'bf16';

/** The dtype an input has when activations are `dtype`. */
export function inputDType({ role }: CaseInput, dtype: FloatDType): DType {
  if (role === 'activation' || role === 'state') return dtype;
  return role === 'vector' ? 'f32' : 'i32';
}

/** Uniform values in [0, 1), a pure function of `seed` and position. */
export function uniforms(count: number, seed: number): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => philox4x32([i, seed, 0, 0], [1, 2])[0] / 4294967296);
}

/** More of `values`, over and over: large inputs of benches are made quickly. */
function tiled<T extends Float32Array | Int32Array>(values: T, count: number): T {
  if (count <= values.length) return values;
  const all = new (values.constructor as { new (length: number): T })(count);
  for (let at = 0; at < count; at += values.length)
    all.set(values.subarray(0, Math.min(values.length, count - at)), at);
  return all;
}

/** Elements of an input that are drawn one by one; more would take seconds. */
const drawn = 1 << 20;

/** Data of one input, exactly representable in its dtype. */
export function caseData(input: CaseInput, dtype: FloatDType, seed: number): Float32Array | Int32Array {
  const count = size(input.shape);
  if (count > drawn) return tiled(caseData({ ...input, shape: [drawn - 1] }, dtype, seed), count);
  const { role, low, high, gap = 0, ignoreEvery } = input;
  if (role === 'rng') return Int32Array.of(12345, 678, 9, 1);
  const values = uniforms(count, seed).map((u) => low + u * (high - low));
  if (role === 'index') {
    return Int32Array.from(values, (v, i) =>
      ignoreEvery && i % ignoreEvery === ignoreEvery - 1 ? -100 : Math.floor(v),
    );
  }
  const pushed = Float32Array.from(values, (v) => (Math.abs(v) < gap ? Math.sign(v) * gap : v));
  return inputDType(input, dtype) === 'bf16' ? fromBfloat16(toBfloat16(pushed)) : pushed;
}

export interface TracedCase {
  readonly graph: Graph;
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly data: Readonly<Record<string, Float32Array | Int32Array>>;
}

export interface TraceOptions {
  /** Differentiable inputs become parameters of this name instead of inputs. */
  readonly parameters?: boolean;
  /** Uses the bench shapes. */
  readonly bench?: boolean;
}

/** Records a case; its outputs are not marked as graph outputs yet. */
export function traceCase(opCase: OpCase, dtype: FloatDType, options: TraceOptions = {}): TracedCase {
  const graph = new Graph();
  const inputs: Record<string, Tensor> = {};
  const data: Record<string, Float32Array | Int32Array> = {};
  Object.entries(opCase.inputs).forEach(([name, spec], position) => {
    const input = options.bench ? { ...spec, shape: opCase.bench?.[name] ?? spec.shape } : spec;
    const type = inputDType(input, dtype);
    const leaf = options.parameters && opCase.differentiable.includes(name) && type !== 'i32';
    if (input.role === 'state') inputs[name] = graph.state(name, input.shape, type);
    else inputs[name] = leaf ? graph.parameter(name, input.shape, type) : graph.input(name, input.shape, type);
    data[name] = caseData(input, dtype, position + 1);
  });
  const built = opCase.build(inputs, graph);
  const outputs = built instanceof Tensor ? { y: built } : { ...built };
  return { graph, inputs, outputs, data };
}

/** States with the case's data, for a run of its graph. */
export async function caseStates(device: Device, { graph, data }: TracedCase): Promise<StateStore> {
  const states = new StateStore(device);
  for (const [name, tensor] of graph.states) {
    states.bind(name, tensor);
    await states.write(name, data[name]!);
  }
  return states;
}

/** A scalar that weighs every output element differently, so that its gradient shows any that is wrong. */
export function weighedLoss({ graph, outputs }: TracedCase): { loss: Tensor; weights: Record<string, Float32Array> } {
  const weights: Record<string, Float32Array> = {};
  let loss: Tensor | undefined;
  Object.entries(outputs).forEach(([name, tensor], position) => {
    const key = `weights of ${name}`;
    const few = uniforms(Math.min(tensor.size, drawn - 1), 100 + position);
    weights[key] = tiled(
      Float32Array.from(few, (u) => u + 0.5),
      tensor.size,
    );
    const part = sum(mul(cast(tensor, 'f32'), graph.input(key, tensor.shape)));
    loss = loss ? add(loss, part) : part;
  });
  return { loss: loss!, weights };
}

/** Marks outputs and, for a differentiable case, the gradient of `weighedLoss` by each differentiable input. */
export function withGradients(traced: TracedCase, names: readonly string[]): Record<string, Float32Array> {
  const { graph, inputs } = traced;
  const { loss, weights } = weighedLoss(traced);
  graph.output('loss', loss);
  gradients(
    loss,
    names.map((name) => inputs[name]!),
  ).forEach((g, i) => graph.output(`gradient of ${names[i]}`, g));
  return weights;
}
