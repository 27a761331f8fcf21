/** Trace, compile, run once, free: for tests, notebooks and small calculations. */

import * as is from '../is.js';
import { type Device, openDevice } from './device.js';
import { Graph, Tensor } from './graph.js';
import type { InputData } from './program.js';

export type Values = Float32Array | Int32Array;

const tensors = is.kind(
  'a Tensor, or an object of tensors',
  (value) =>
    value instanceof Tensor ||
    (typeof value === 'object' && value !== null && Object.values(value).every((one) => one instanceof Tensor)),
);

const takesEvaluate = is.takes('evaluate', {
  build: is.func,
  inputs: is.record,
  options: is.options({ device: is.optional(is.device) }),
});

/**
 * Runs the computation that `build` records. A tensor gives its values, a record of tensors a record of values.
 * @param build Records the computation in the graph that it is given, and returns its result.
 * @param inputs Values of the graph's inputs by name. Default: none.
 * @param options The device.
 * @example
 * ```ts
 * await evaluate((g) => g.input('x', [2]).mul(3), { x: [1, 2] }); // Float32Array [3, 6]
 * ```
 * @throws ApolloError as Device.compile and Program.run do.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function evaluate<T extends Tensor | Record<string, Tensor>>(
  build: (graph: Graph) => T,
  inputs: Readonly<Record<string, InputData>> = {},
  options: {
    /** Where it runs; it stays open. Default: a CPU device that is opened for the call and closed after it. */
    readonly device?: Device;
  } = {},
): Promise<T extends Tensor ? Values : { [K in keyof T]: Values }> {
  takesEvaluate(build, inputs, options);

  const graph = new Graph();
  const built = build(graph);
  is.argument('evaluate: the result of build', built, tensors);
  if (built instanceof Tensor) graph.output('value', built);
  else for (const [name, tensor] of Object.entries(built)) graph.output(name, tensor);
  const device = options.device ?? (await openDevice());
  try {
    using program = await device.compile(graph);
    const { outputs } = await program.run(inputs);
    return (built instanceof Tensor ? outputs.value : outputs) as T extends Tensor
      ? Values
      : { [K in keyof T]: Values };
  } finally {
    if (!options.device) await device.close();
  }
}
